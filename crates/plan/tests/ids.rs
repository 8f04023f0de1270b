//! The rule of ids and app keys.

use tidestore_plan::{AppKey, IdError, IdKind, ResourceId, UserId};

#[test]
fn an_id_has_1_to_64_characters() {
    for len in [1, 63, 64] {
        let text = "a".repeat(len);
        assert_eq!(UserId::parse(&text).unwrap().as_str(), text);
    }
    let kind = IdKind::User;
    assert_eq!(UserId::parse(""), Err(IdError::Empty { kind }));
    for actual in [65, 1_000] {
        let error = UserId::parse(&"a".repeat(actual)).unwrap_err();
        assert_eq!(
            error,
            IdError::TooLong {
                kind,
                max: 64,
                actual: actual as u64
            }
        );
    }
}

#[test]
fn exactly_the_charset_passes_among_all_of_ascii() {
    for byte in 0..=127_u8 {
        let character = char::from(byte);
        let legal = character.is_ascii_alphanumeric() || "_-.".contains(character);
        assert_eq!(
            UserId::parse(&character.to_string()).is_ok(),
            legal,
            "{character:?}"
        );
    }
}

#[test]
fn characters_beyond_ascii_are_refused_with_their_place() {
    // The Kelvin sign and the dotless i fold to ASCII letters elsewhere; here they are no letters.
    for character in [
        'é', '用', '🌊', '\u{212A}', 'ı', 'ſ', '\u{FF41}', '\u{200B}',
    ] {
        let error = UserId::parse(&format!("ab{character}")).unwrap_err();
        let (kind, position) = (IdKind::User, 2);
        assert_eq!(
            error,
            IdError::Character {
                kind,
                character,
                position
            }
        );
    }
}

#[test]
fn ids_that_differ_in_case_are_one() {
    let id = UserId::parse("Aa-Zz_09.X").unwrap();
    assert_eq!(id.as_str(), "aa-zz_09.x");
    assert_eq!(id, UserId::parse("aA-zZ_09.x").unwrap());
    assert_eq!(UserId::parse(id.as_str()).unwrap(), id);
    assert_eq!(
        (id.to_string().as_str(), id.as_ref()),
        ("aa-zz_09.x", "aa-zz_09.x")
    );
}

#[test]
fn the_error_says_which_kind_of_id_is_wrong() {
    let kinds = [
        (UserId::parse("").unwrap_err(), "user id"),
        (ResourceId::parse("").unwrap_err(), "group or room id"),
        (AppKey::parse("#app").unwrap_err(), "org part"),
        (AppKey::parse("org#").unwrap_err(), "app part"),
    ];
    for (error, name) in kinds {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn an_app_key_has_two_parts_and_folds_both() {
    let key = AppKey::parse("Acme#Chat-1").unwrap();
    assert_eq!(
        (key.org(), key.app(), key.as_str()),
        ("acme", "chat-1", "acme#chat-1")
    );
    assert_eq!(key, AppKey::parse("ACME#CHAT-1").unwrap());
    let longest = format!("{}#{}", "o".repeat(64), "a".repeat(64));
    assert_eq!(AppKey::parse(&longest).unwrap().as_str(), longest);
    let too_long = format!("o#{}", "a".repeat(65));
    let kind = IdKind::App;
    assert_eq!(
        AppKey::parse(&too_long),
        Err(IdError::TooLong {
            kind,
            max: 64,
            actual: 65
        })
    );
}

#[test]
fn an_app_key_without_exactly_one_separator_is_refused() {
    for text in ["", "acme", "a#b#c", "##", "acme/chat"] {
        let error = AppKey::parse(text).unwrap_err();
        assert_eq!(
            error,
            IdError::AppKeyForm {
                text: text.to_owned()
            }
        );
    }
}

#[test]
fn hostile_input_is_quoted_up_to_80_characters() {
    let IdError::AppKeyForm { text } = AppKey::parse(&"#".repeat(5_000_000)).unwrap_err() else {
        panic!("many separators pass");
    };
    assert_eq!(text.chars().count(), 80);
    let long = UserId::parse(&"a".repeat(5_000_000)).unwrap_err();
    assert!(long.to_string().chars().count() < 160);
    // Control characters do not reach a terminal as they are.
    let escape = UserId::parse("\u{1b}[2J").unwrap_err().to_string();
    assert!(!escape.contains('\u{1b}'), "{escape:?}");
}
