//! Every limit against the contract's figure, at its boundary, and in its own unit.

use tidestore_plan::{Exceeded, KeyError, Limit, Unit, message_content, room_attribute_key};

/// The figures as the contract states them, written out by hand.
const CONTRACT: &[(Limit, u64, Unit)] = &[
    (Limit::IdLength, 64, Unit::Characters),
    (Limit::MessageContent, 3_072, Unit::Bytes),
    (Limit::SendRequest, 5_120, Unit::Bytes),
    (Limit::Attachment, 10_485_760, Unit::Bytes),
    (Limit::UserAttributes, 2_048, Unit::Bytes),
    (Limit::AppUserAttributes, 10_737_418_240, Unit::Bytes),
    (Limit::GroupName, 128, Unit::Characters),
    (Limit::GroupDescription, 512, Unit::Characters),
    (Limit::GroupExtension, 1_024, Unit::Characters),
    (Limit::RoomName, 128, Unit::Characters),
    (Limit::RoomDescription, 512, Unit::Characters),
    (Limit::RoomExtension, 1_024, Unit::Characters),
    (Limit::RoomAttributeKeys, 100, Unit::Count),
    (Limit::RoomAttributeKey, 128, Unit::Characters),
    (Limit::RoomAttributeValue, 4_096, Unit::Characters),
    (Limit::RoomAttributesPerCall, 10, Unit::Count),
    (Limit::AppRoomAttributes, 10_737_418_240, Unit::Bytes),
    (Limit::Password, 64, Unit::Characters),
    (Limit::PushNickname, 100, Unit::Characters),
    (Limit::Announcement, 512, Unit::Characters),
    (Limit::Admins, 99, Unit::Count),
    (Limit::BlockList, 500, Unit::Count),
    (Limit::ConversationList, 100, Unit::Count),
    (Limit::Threads, 100_000, Unit::Count),
    (Limit::ThreadName, 64, Unit::Characters),
    (Limit::Reactions, 20, Unit::Count),
    (Limit::ReactionId, 128, Unit::Characters),
    (Limit::PresenceSubscriptions, 3_000, Unit::Count),
    (Limit::PresenceSubscribers, 3_000, Unit::Count),
    (Limit::SharedFiles, 10_000, Unit::Count),
    (Limit::OfflineDirect, 500, Unit::Count),
    (Limit::OfflineGroup, 200, Unit::Count),
    (Limit::OfflineUser, 3_000, Unit::Count),
    (Limit::AttachmentRetention, 604_800, Unit::Seconds),
    (Limit::RecallWindow, 120, Unit::Seconds),
    (Limit::RecallWindowMax, 604_800, Unit::Seconds),
    (Limit::GroupMaxUsersDefault, 200, Unit::Count),
    (Limit::RoomMaxUsersDefault, 1_000, Unit::Count),
    (Limit::RoomMaxUsers, 10_000, Unit::Count),
    (Limit::RegistrationBatch, 60, Unit::Count),
    (Limit::UserPage, 100, Unit::Count),
    (Limit::StatusBatch, 100, Unit::Count),
    (Limit::MuteSeconds, 2_147_483_647, Unit::Seconds),
    (Limit::MutePage, 50, Unit::Count),
    (Limit::DirectTargets, 600, Unit::Count),
    (Limit::GroupTargets, 3, Unit::Count),
    (Limit::RoomTargets, 10, Unit::Count),
    (Limit::RoamIgnoreUsers, 20, Unit::Count),
    (Limit::CustomEvent, 32, Unit::Characters),
    (Limit::CustomExts, 16, Unit::Count),
    (Limit::RoamingPage, 50, Unit::Count),
    (Limit::BlockPage, 50, Unit::Count),
    (Limit::BlockBatch, 50, Unit::Count),
    (Limit::AttributeTargets, 100, Unit::Count),
    (Limit::AttributeNickname, 64, Unit::Characters),
    (Limit::AttributeAvatarUrl, 256, Unit::Characters),
    (Limit::AttributePhone, 32, Unit::Characters),
    (Limit::AttributeMail, 64, Unit::Characters),
    (Limit::AttributeSign, 256, Unit::Characters),
    (Limit::AttributeBirth, 64, Unit::Characters),
    (Limit::GroupPage, 1_000, Unit::Count),
    (Limit::JoinedGroupPage, 100, Unit::Count),
    (Limit::JoinedGroupsUnpaged, 500, Unit::Count),
    (Limit::GroupDetails, 100, Unit::Count),
    (Limit::GroupFounders, 100, Unit::Count),
    (Limit::SharedFilePage, 1_000, Unit::Count),
    (Limit::MemberPage, 1_000, Unit::Count),
    (Limit::GroupBlockPage, 50, Unit::Count),
    (Limit::RoomPage, 1_000, Unit::Count),
    (Limit::JoinedRoomPage, 1_000, Unit::Count),
    (Limit::JoinedRoomsUnpaged, 500, Unit::Count),
    (Limit::RoomDetails, 100, Unit::Count),
    (Limit::RoomMemberPage, 1_000, Unit::Count),
    (Limit::MemberBatch, 60, Unit::Count),
    (Limit::RoomMemberRemovals, 100, Unit::Count),
    (Limit::PushSilence, 604_800_000, Unit::Milliseconds),
    (Limit::PushTemplateName, 64, Unit::Characters),
    (Limit::PushLabelName, 64, Unit::Characters),
    (Limit::PushLabelDescription, 255, Unit::Characters),
    (Limit::PushLabels, 100, Unit::Count),
    (Limit::PushLabelUsers, 200_000, Unit::Count),
    (Limit::PushLabelBatch, 100, Unit::Count),
    (Limit::PushLabelPage, 100, Unit::Count),
    (Limit::PushTargets, 100, Unit::Count),
    (Limit::PushTitle, 32, Unit::Characters),
    (Limit::PushSubtitle, 10, Unit::Characters),
    (Limit::PushContent, 100, Unit::Characters),
    (Limit::PushExtension, 1_024, Unit::Characters),
    (Limit::PushExtensionKeys, 10, Unit::Count),
    (Limit::PushLabelTargets, 5, Unit::Count),
    (Limit::PushTasks, 3, Unit::Count),
    (Limit::PresenceExtension, 1_024, Unit::Bytes),
    (Limit::PresenceSeconds, 2_592_000, Unit::Seconds),
    (Limit::PresenceBatch, 100, Unit::Count),
    (Limit::PresencePage, 500, Unit::Count),
    (Limit::ReactionMessages, 20, Unit::Count),
    (Limit::ReactionPage, 50, Unit::Count),
    (Limit::ThreadPage, 50, Unit::Count),
    (Limit::ThreadBatch, 10, Unit::Count),
];

#[test]
fn every_limit_is_what_the_contract_says() {
    let listed: Vec<_> = CONTRACT.iter().map(|(limit, _, _)| *limit).collect();
    assert_eq!(listed, Limit::ALL);
    for &(limit, max, unit) in CONTRACT {
        assert_eq!((limit.max(), limit.unit()), (max, unit), "{limit}");
    }
}

#[test]
fn every_limit_passes_its_maximum_and_refuses_one_more() {
    for &(limit, max, unit) in CONTRACT {
        for passes in [0, 1, max - 1, max] {
            assert_eq!(limit.check(passes), Ok(()), "{limit}");
        }
        for actual in [max + 1, u64::MAX] {
            let error = limit.check(actual).unwrap_err();
            assert_eq!(error.limit(), Exceeded::Limit(limit));
            assert_eq!((error.max(), error.actual()), (max, actual));
            let text = error.to_string();
            // Things are counted by their name: "101 members in one call".
            let unit = unit.to_string();
            let unit = if limit.unit() == Unit::Count {
                ""
            } else {
                &unit
            };
            for part in [limit.name(), &max.to_string(), &actual.to_string(), unit] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
    }
}

#[test]
fn limits_have_names_of_their_own() {
    let mut names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Limit::ALL.len());
}

#[test]
fn names_count_characters_whatever_their_bytes() {
    for character in ["a", "群", "🌊", "\u{301}"] {
        let longest = character.repeat(128);
        assert_eq!(Limit::GroupName.check_text(&longest), Ok(()), "{character}");
        assert_eq!(Limit::RoomName.check_text(&longest), Ok(()), "{character}");
        let error = Limit::GroupName
            .check_text(&character.repeat(129))
            .unwrap_err();
        assert_eq!((error.max(), error.actual()), (128, 129), "{character}");
    }
    assert_eq!("群".repeat(128).len(), 384);
    // One picture, yet two scalar values: a wave with a skin tone.
    assert!(Limit::GroupName.check_text(&"👋🏽".repeat(64)).is_ok());
    assert!(Limit::GroupName.check_text(&"👋🏽".repeat(65)).is_err());
}

#[test]
fn limits_in_bytes_count_bytes_of_a_text() {
    // 3 bytes each: 341 make 1,023 bytes, 342 make 1,026.
    assert!(
        Limit::PresenceExtension
            .check_text(&"在".repeat(341))
            .is_ok()
    );
    let error = Limit::PresenceExtension
        .check_text(&"在".repeat(342))
        .unwrap_err();
    assert_eq!((error.max(), error.actual()), (1_024, 1_026));
}

#[test]
fn a_message_is_measured_in_bytes_of_body_and_extension_together() {
    let body = "群".repeat(1_024).len() as u64;
    assert_eq!(body, 3_072);
    assert_eq!(message_content(body, 0), Ok(()));
    assert_eq!(message_content(0, 3_072), Ok(()));
    assert_eq!(message_content(0, 0), Ok(()));
    assert_eq!(message_content(2_000, 1_072), Ok(()));
    assert_eq!(message_content(2_000, 1_073).unwrap_err().actual(), 3_073);
    assert_eq!(message_content(body, 1).unwrap_err().actual(), 3_073);
    let error = message_content("群".repeat(1_025).len() as u64, 0).unwrap_err();
    assert_eq!((error.max(), error.actual()), (3_072, 3_075));
    assert!(message_content("🌊".repeat(768).len() as u64, 0).is_ok());
    assert!(message_content("🌊".repeat(769).len() as u64, 0).is_err());
}

#[test]
fn lengths_whose_sum_overflows_are_refused() {
    assert_eq!(
        message_content(u64::MAX, u64::MAX).unwrap_err().actual(),
        u64::MAX
    );
    assert!(message_content(1, u64::MAX).is_err());
}

#[test]
fn a_room_attribute_key_has_1_to_128_characters_of_the_charset() {
    assert_eq!(room_attribute_key("k"), Ok(()));
    assert_eq!(room_attribute_key("Az09_-."), Ok(()));
    assert_eq!(room_attribute_key(&"k".repeat(128)), Ok(()));
    assert_eq!(room_attribute_key(""), Err(KeyError::Empty));
    let Err(KeyError::Limit(error)) = room_attribute_key(&"k".repeat(129)) else {
        panic!("129 characters pass");
    };
    assert_eq!((error.max(), error.actual()), (128, 129));
    for (key, character, position) in [("a b", ' ', 1), ("键", '键', 0), ("ab#", '#', 2)] {
        assert_eq!(
            room_attribute_key(key),
            Err(KeyError::Character {
                character,
                position
            })
        );
    }
}
