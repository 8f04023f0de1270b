//! Worked examples of the format pages: blocks of bytes in Markdown, read and written.
//!
//! A block begins with a fence ` ```hex NAME `. Each line is an offset, bytes in hexadecimal, and behind a semicolon what
//! they mean; `*` alone on a line stands for zeros up to the next line's offset.

#![expect(
    clippy::disallowed_methods,
    reason = "the pages are files of the sources, not of a store"
)]

use std::fmt::Write;
use std::path::PathBuf;

/// Set to anything, [`Page::check`] writes the example into its page instead of comparing. For whoever writes the page of a
/// new version; what an old version wrote is kept in golden files.
pub const WRITE: &str = "TIDESTORE_WRITE_EXAMPLES";

/// A page of the format documents.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    /// Reads a page by its name without the ending.
    pub fn open(name: &str) -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format");
        let path = PathBuf::from(root).join(format!("{name}.md"));
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    /// The whole page.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines of a fenced block.
    pub fn block(&self, fence: &str) -> &str {
        let start = self.text.find(&format!("```{fence}\n"));
        let start = start.unwrap_or_else(|| panic!("{}: no block {fence:?}", self.path.display()));
        let start = start + fence.len() + 4;
        let len = self.text[start..].find("```").unwrap();
        &self.text[start..start + len]
    }

    /// The bytes of an example.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        parse(self.block(&format!("hex {name}")))
    }

    /// Makes sure that an example shows exactly these bytes. `fields` says how they are to be cut into lines, and what each
    /// means; it is used only to write the example.
    pub fn check(&mut self, name: &str, bytes: &[u8], fields: &[(usize, &str)]) {
        let right = render(bytes, fields);
        assert_eq!(
            parse(&right),
            bytes,
            "an example is not read as it was written"
        );
        self.check_text(&format!("hex {name}"), &right, |block| {
            parse(block) == bytes
        });
    }

    /// Makes sure that a block of text is right.
    pub fn check_text(&mut self, fence: &str, right: &str, is_right: impl Fn(&str) -> bool) {
        if std::env::var_os(WRITE).is_some() {
            let block = self.block(fence);
            let at = block.as_ptr().addr() - self.text.as_ptr().addr();
            let range = at..at + block.len();
            self.text.replace_range(range, right);
            std::fs::write(&self.path, &self.text).unwrap();
        }
        assert!(
            is_right(self.block(fence)),
            "{}: the example {fence:?} is not what is written; that would be\n{right}",
            self.path.display()
        );
    }
}

/// The bytes of a block.
fn parse(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("*") => {}
            Some(offset) => {
                let offset = usize::from_str_radix(offset, 16).expect("an offset");
                assert!(
                    offset >= bytes.len(),
                    "line {line:?} begins before the last one ends"
                );
                bytes.resize(offset, 0);
                let byte = |word| u8::from_str_radix(word, 16).expect("a byte");
                bytes.extend(words.map(byte));
            }
        }
    }
    bytes
}

/// Lines of at most sixteen bytes, which end where a field ends.
fn render(bytes: &[u8], fields: &[(usize, &str)]) -> String {
    let mut text = String::new();
    let mut at = 0_usize;
    for (len, meaning) in fields.iter().copied().chain([(usize::MAX, "")]) {
        let end = bytes.len().min(at.saturating_add(len));
        let field = &bytes[at..end];
        if field.len() > 64 && field.iter().all(|byte| *byte == 0) {
            writeln!(text, "*{:55}; {meaning}", "").unwrap();
            at = end;
            // The last of the zeros, so that the length is known.
            if at == bytes.len() {
                writeln!(text, "{:06x} 00", at - 1).unwrap();
            }
            continue;
        }
        for (number, line) in field.chunks(16).enumerate() {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let meaning = if number == 0 { meaning } else { "" };
            let line = format!("{at:06x} {:<49}; {meaning}", hex.join(" "));
            writeln!(text, "{}", line.trim_end_matches(['\n', ' ', ';'])).unwrap();
            at += hex.len();
        }
    }
    text
}
