use proptest::prelude::*;

use super::*;

#[test]
fn hostile_names_become_harmless() {
    let table = [
        ("org#app", "org%23app"),
        ("Org", "%4frg"),
        ("..", "%2e."),
        (".hidden", "%2ehidden"),
        ("a.b", "a.b"),
        ("/etc/passwd", "%2fetc%2fpasswd"),
        ("a\0b", "a%00b"),
        ("100%", "100%25"),
        ("ü", "%c3%bc"),
        ("a_b-c", "a_b-c"),
    ];
    for (name, encoded) in table {
        assert_eq!(encode_name(name).as_deref(), Ok(encoded));
        assert_eq!(decode_name(encoded).as_deref(), Some(name));
    }
}

#[test]
fn only_the_one_encoding_of_a_name_is_decoded() {
    let foreign = [
        "", "A", "%41B", "%4F", "%61", "%", "%4", "%zz", ".x", "a b", "%ff", "a/b",
    ];
    for name in foreign {
        assert_eq!(decode_name(name), None, "{name:?}");
    }
    assert_eq!(decode_name(&"a".repeat(256)), None);
}

#[test]
fn a_name_that_does_not_fit_is_refused_not_shortened() {
    assert!(encode_name(&"a".repeat(255)).is_ok());
    let refused = NameError::TooLong { len: 256, max: 255 };
    assert_eq!(encode_name(&"a".repeat(256)), Err(refused));
    assert!(encode_name(&"A".repeat(85)).is_ok());
    assert_eq!(
        encode_name(&"A".repeat(86)),
        Err(NameError::TooLong { len: 258, max: 255 })
    );
    assert_eq!(encode_name(""), Err(NameError::Empty));
}

proptest! {
    #[test]
    fn every_encoded_name_is_safe_and_decodes_to_itself(name in "\\PC{1,40}|[\\x00-\\x7f]{1,40}") {
        if let Ok(encoded) = encode_name(&name) {
            let is_safe = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | '%');
            prop_assert!(encoded.chars().all(is_safe) && !encoded.starts_with('.'));
            prop_assert!(encoded.len() <= 255);
            prop_assert_eq!(decode_name(&encoded), Some(name));
        }
    }

    #[test]
    fn names_that_differ_also_differ_when_case_is_folded(
        a in "[aAbB.%/]{1,4}",
        b in "[aAbB.%/]{1,4}",
    ) {
        let (folded_a, folded_b) =
            (encode_name(&a).unwrap().to_lowercase(), encode_name(&b).unwrap().to_lowercase());
        prop_assert_eq!(a == b, folded_a == folded_b);
    }

    #[test]
    fn what_is_decoded_encodes_to_itself(encoded in "[a-c0-9%.A]{0,12}") {
        if let Some(name) = decode_name(&encoded) {
            prop_assert_eq!(encode_name(&name), Ok(encoded));
        }
    }
}
