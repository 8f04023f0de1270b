//! Names of users, groups and rooms: pronounceable, distinct, and legal by the id rule.

const ONSETS: [&str; 16] = [
    "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "ch", "sh",
];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ai"];
const TAILS: [&str; 8] = ["", "n", "r", "x", "_away", "42", "-k", "s"];
const TOPICS: [&str; 24] = [
    "support",
    "general",
    "random",
    "release",
    "kernel",
    "design",
    "music",
    "games",
    "lunch",
    "hardware",
    "sales",
    "travel",
    "football",
    "photos",
    "reading",
    "garden",
    "family",
    "school",
    "ops",
    "mobile",
    "network",
    "beginners",
    "offtopic",
    "announce",
];

/// Name of the user with this number. Injective: the syllables spell the number.
pub(crate) fn user(number: usize) -> String {
    // Neighbouring numbers get different looking names: an odd factor permutes 24 bits.
    let low = number & 0x00ff_ffff;
    let mut rest = low.wrapping_mul(0x009e_3779 | 1) & 0x00ff_ffff;
    let mut name = String::new();
    let tail = rest % TAILS.len();
    rest /= TAILS.len();
    let mut syllables = 0;
    while rest > 0 || syllables < 2 {
        push(&mut name, &ONSETS, &mut rest);
        push(&mut name, &VOWELS, &mut rest);
        syllables += 1;
    }
    name.push_str(TAILS.get(tail).copied().unwrap_or_default());
    if number != low {
        name.push('.');
        name.push_str(&(number >> 24).to_string());
    }
    name
}

/// Name of the group or room with this number.
pub(crate) fn place(number: usize) -> String {
    let topic = TOPICS
        .get(number % TOPICS.len())
        .copied()
        .unwrap_or_default();
    if number < TOPICS.len() {
        topic.to_owned()
    } else {
        format!("{topic}-{}", number / TOPICS.len() + 1)
    }
}

fn push(name: &mut String, parts: &[&str], rest: &mut usize) {
    name.push_str(parts.get(*rest % parts.len()).copied().unwrap_or_default());
    *rest /= parts.len();
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_legal() {
        let names: HashSet<_> = (0..200_000).map(user).collect();
        assert_eq!(names.len(), 200_000);
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        assert!(
            names
                .iter()
                .all(|name| name.len() <= 64 && name.chars().all(is_legal))
        );
        assert_eq!((0..5_000).map(place).collect::<HashSet<_>>().len(), 5_000);
    }
}
