//! Sentences from word lists and patterns, cut to a length that is drawn first.

use crate::draw::{Rng, below, chance, skewed_below};

/// The words of a language. `short` holds whole messages; the others are classes that patterns name by a letter.
pub(crate) struct Words {
    pub(crate) short: &'static [&'static str],
    /// `{o}`: how a sentence opens.
    pub(crate) open: &'static [&'static str],
    /// `{w}`: who does it.
    pub(crate) who: &'static [&'static str],
    /// `{h}`: auxiliaries and adverbs.
    pub(crate) helper: &'static [&'static str],
    /// `{v}`
    pub(crate) verb: &'static [&'static str],
    /// `{n}`
    pub(crate) noun: &'static [&'static str],
    /// `{a}`
    pub(crate) adjective: &'static [&'static str],
    /// `{p}`: prepositions.
    pub(crate) place: &'static [&'static str],
    /// `{e}`: how a sentence ends.
    pub(crate) end: &'static [&'static str],
    /// Parts of rare words, `{r}`; `{d}` is a number.
    pub(crate) stems: &'static [&'static str],
    pub(crate) patterns: &'static [&'static str],
    /// What stands between sentences.
    pub(crate) joints: &'static [&'static str],
    /// Whether words are parted by spaces.
    pub(crate) spaced: bool,
}

/// A language, ready to write.
pub(crate) struct Grammar {
    words: &'static Words,
    patterns: Vec<Vec<Part>>,
    /// Share of words of open classes that are replaced by a rare word, in percent: it sets how well text compresses.
    rare_percent: u32,
}

#[derive(Clone, Copy)]
enum Part {
    Text(&'static str),
    List(&'static [&'static str], bool),
    Rare,
    Number,
}

impl Grammar {
    pub(crate) fn new(words: &'static Words, rare_percent: u32) -> Self {
        let patterns = words
            .patterns
            .iter()
            .map(|pattern| parse(words, pattern))
            .collect();
        Self {
            words,
            patterns,
            rare_percent,
        }
    }

    /// Appends text until about `target` bytes stand behind `start`; exact to half a word on average.
    pub(crate) fn write(&self, rng: &mut Rng, out: &mut String, start: usize, target: usize) {
        if target <= self.short_max() && out.len() == start {
            return self.write_short(rng, out, target);
        }
        loop {
            let pattern = self.patterns.get(below(rng, self.patterns.len()));
            for part in pattern.map_or(&[][..], Vec::as_slice) {
                let before = out.len();
                self.write_part(rng, out, *part);
                if out.len() >= start + target {
                    return settle(out, start, before, start + target);
                }
            }
            self.write_joint(rng, out);
        }
    }

    fn short_max(&self) -> usize {
        if self.words.spaced { 7 } else { 9 }
    }

    /// A whole message of few bytes; one that fits the target as well as a few tries find.
    fn write_short(&self, rng: &mut Rng, out: &mut String, target: usize) {
        let mut best = "";
        for _ in 0..6 {
            let list = self.words.short;
            let word = list
                .get(skewed_below(rng, list.len()))
                .copied()
                .unwrap_or_default();
            if best.is_empty() || word.len().abs_diff(target) < best.len().abs_diff(target) {
                best = word;
            }
        }
        out.push_str(best);
    }

    fn write_part(&self, rng: &mut Rng, out: &mut String, part: Part) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::List(_, true) if chance(rng, self.rare_percent) => self.write_rare(rng, out),
            Part::List(list, _) => {
                out.push_str(
                    list.get(skewed_below(rng, list.len()))
                        .copied()
                        .unwrap_or_default(),
                );
            }
            Part::Rare => self.write_rare(rng, out),
            Part::Number => push_number(rng, out),
        }
    }

    /// A name, path, version or address that is hardly ever the same twice.
    fn write_rare(&self, rng: &mut Rng, out: &mut String) {
        let stem = |rng: &mut Rng, out: &mut String| {
            let stems = self.words.stems;
            out.push_str(
                stems
                    .get(below(rng, stems.len()))
                    .copied()
                    .unwrap_or_default(),
            );
        };
        let form = if self.words.spaced { below(rng, 16) } else { 0 };
        match form {
            10 => out.push_str("http://"),
            11 | 12 => out.push('/'),
            _ => {}
        }
        stem(rng, out);
        stem(rng, out);
        match form {
            10 => {
                out.push_str(".example/");
                push_number(rng, out);
            }
            11 => {
                out.push('/');
                stem(rng, out);
                stem(rng, out);
            }
            13 => {
                out.push('-');
                push_number(rng, out);
            }
            14 => {
                out.push('_');
                stem(rng, out);
            }
            _ if chance(rng, 25) => stem(rng, out),
            _ => {}
        }
    }

    fn write_joint(&self, rng: &mut Rng, out: &mut String) {
        let joints = self.words.joints;
        out.push_str(
            joints
                .get(skewed_below(rng, joints.len()))
                .copied()
                .unwrap_or_default(),
        );
    }
}

fn push_number(rng: &mut Rng, out: &mut String) {
    let digits = 1 + skewed_below(rng, 4);
    for _ in 0..digits {
        out.push(char::from(
            b'0' + u8::try_from(below(rng, 10)).unwrap_or_default(),
        ));
    }
}

/// Keeps the last word or drops it, whichever ends nearer to `wanted`, and leaves no loose end.
fn settle(out: &mut String, start: usize, before: usize, wanted: usize) {
    // Never back to nothing: a message has a body.
    if before > start && wanted - before.min(wanted) < out.len() - wanted {
        out.truncate(before);
    }
    let end = out.trim_end_matches([' ', ',', ';', '-', '，']).len();
    out.truncate(end);
}

fn parse(words: &'static Words, pattern: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((text, (class, after))) = rest
        .split_once('{')
        .and_then(|(text, tail)| Some((text, tail.split_once('}')?)))
    {
        push_text(words, &mut parts, text);
        parts.push(match class {
            "o" => Part::List(words.open, false),
            "w" => Part::List(words.who, false),
            "h" => Part::List(words.helper, false),
            "v" => Part::List(words.verb, true),
            "n" => Part::List(words.noun, true),
            "a" => Part::List(words.adjective, true),
            "p" => Part::List(words.place, false),
            "e" => Part::List(words.end, false),
            "d" => Part::Number,
            _ => Part::Rare,
        });
        rest = after;
    }
    push_text(words, &mut parts, rest);
    parts
}

/// Cuts fixed text into words, so that a message may end after any of them.
fn push_text(words: &Words, parts: &mut Vec<Part>, text: &'static str) {
    if words.spaced {
        parts.extend(text.split_inclusive(' ').map(Part::Text));
    } else if !text.is_empty() {
        parts.push(Part::Text(text));
    }
}
