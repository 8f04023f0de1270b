//! Every limit that is the same on every plan, with its unit and its source.
//!
//! "At most N" means that exactly N passes. KB, MB and GB are powers of 1024. Characters are Unicode scalar values.
//! Sources name the table or row of the service's reference, `ENDPOINTS`.

use std::fmt;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Bytes, of UTF-8 where it is text.
    Bytes,
    /// Unicode scalar values.
    Characters,
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bytes => "bytes",
            Self::Characters => "characters",
            Self::Count => "in number",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
        })
    }
}

/// A value beyond its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError {
    pub(crate) limit: Exceeded,
    pub(crate) max: u64,
    pub(crate) actual: u64,
}

/// Which limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exceeded {
    /// One that is the same on every plan.
    Limit(Limit),
    /// A cap of the app's plan.
    Cap(crate::plans::CapKind),
}

impl LimitError {
    /// Which limit.
    pub fn limit(&self) -> Exceeded {
        self.limit
    }

    /// The largest value that is allowed.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that was given.
    pub fn actual(&self) -> u64 {
        self.actual
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Exceeded::Limit(limit) if limit.unit() == Unit::Count => write!(
                f,
                "{} {}; at most {} are allowed",
                self.actual,
                limit.name(),
                self.max
            ),
            Exceeded::Limit(limit) => write!(
                f,
                "{}: {} {}; at most {} are allowed",
                limit.name(),
                self.actual,
                limit.unit(),
                self.max
            ),
            Exceeded::Cap(cap) => write!(
                f,
                "{}: {} would exceed the plan's {}; move to a larger plan or remove some",
                cap.name(),
                self.actual,
                self.max
            ),
        }
    }
}

impl std::error::Error for LimitError {}

/// 1 KB.
const KB: u64 = 1_024;
/// 1 MB.
const MB: u64 = 1_024 * KB;
/// 1 GB.
const GB: u64 = 1_024 * MB;

macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident = $max:expr, $unit:ident, $name:literal;)*) => {
        /// A limit that is the same on every plan.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Limit {
            $($(#[$doc])* $limit,)*
        }

        impl Limit {
            /// Every limit.
            pub const ALL: &[Self] = &[$(Self::$limit,)*];

            /// The largest value that passes.
            pub const fn max(self) -> u64 {
                match self {
                    $(Self::$limit => $max,)*
                }
            }

            /// What it counts.
            pub const fn unit(self) -> Unit {
                match self {
                    $(Self::$limit => Unit::$unit,)*
                }
            }

            /// What it limits, for people.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$limit => $name,)*
                }
            }
        }
    };
}

limits! {
    /// Section 1, "user id".
    IdLength = 64, Characters, "id";
    /// Section 1, "message": body and extension together, for every kind.
    MessageContent = 3 * KB, Bytes, "message body and extension";
    /// Section 1, "whole JSON request of a send call"; does not apply to `to`.
    SendRequest = 5 * KB, Bytes, "request of a send call";
    /// Section 1, "file of an image, voice, video or file message; group shared file".
    Attachment = 10 * MB, Bytes, "attachment";
    /// Section 1, "attributes of one user": keys and values.
    UserAttributes = 2 * KB, Bytes, "attributes of one user";
    /// Section 1, "user attributes of an app".
    AppUserAttributes = 10 * GB, Bytes, "user attributes of the app";
    /// Section 1, "group name / …".
    GroupName = 128, Characters, "group name";
    /// Section 1, "group … description".
    GroupDescription = 512, Characters, "group description";
    /// Section 1, "group … extension `custom`".
    GroupExtension = 1_024, Characters, "group extension";
    /// Section 1, "chatroom name / …".
    RoomName = 128, Characters, "chatroom name";
    /// Section 1, "chatroom … description".
    RoomDescription = 512, Characters, "chatroom description";
    /// Section 1, "documented elsewhere": room extension `custom`.
    RoomExtension = 1_024, Characters, "chatroom extension";
    /// Section 1, "chatroom attributes: keys per room".
    RoomAttributeKeys = 100, Count, "attributes of one chatroom";
    /// Section 1, "chatroom attribute key".
    RoomAttributeKey = 128, Characters, "chatroom attribute key";
    /// Section 1, "chatroom attribute value"; an endpoint page says 4,086, the limits page wins.
    RoomAttributeValue = 4_096, Characters, "chatroom attribute value";
    /// Rows 88 to 91.
    RoomAttributesPerCall = 10, Count, "chatroom attributes in one call";
    /// Section 1, "chatroom attributes of an app".
    AppRoomAttributes = 10 * GB, Bytes, "chatroom attributes of the app";
    /// Section 1, "documented elsewhere"; rows 1 and 9.
    Password = 64, Characters, "password";
    /// Section 1, "documented elsewhere"; row 3.
    PushNickname = 100, Characters, "push nickname";
    /// Section 1, "documented elsewhere"; rows 51 and 86.
    Announcement = 512, Characters, "announcement";
    /// Section 1, "documented elsewhere": beside the owner.
    Admins = 99, Count, "admins of one group or chatroom";
    /// Section 1, "documented elsewhere"; row 35.
    BlockList = 500, Count, "entries in the block list of one user";
    /// Section 1, "documented elsewhere": the idlest falls off.
    ConversationList = 100, Count, "conversations listed for one user";
    /// Section 1, "documented elsewhere".
    Threads = 100_000, Count, "threads of the app";
    /// Section 1, "documented elsewhere"; row 144.
    ThreadName = 64, Characters, "thread name";
    /// Section 1, "documented elsewhere"; row 140.
    Reactions = 20, Count, "kinds of reaction to one message";
    /// Section 1, "documented elsewhere"; row 140.
    ReactionId = 128, Characters, "reaction id";
    /// Section 1, "documented elsewhere".
    PresenceSubscriptions = 3_000, Count, "presence subscriptions of one user";
    /// Section 1, "documented elsewhere".
    PresenceSubscribers = 3_000, Count, "presence subscribers of one user";
    /// Section 1, "documented elsewhere".
    SharedFiles = 10_000, Count, "shared files of one group";
    /// Section 1, "documented elsewhere".
    OfflineDirect = 500, Count, "offline messages of one direct conversation";
    /// Section 1, "documented elsewhere".
    OfflineGroup = 200, Count, "offline messages of one group";
    /// Section 1, "documented elsewhere".
    OfflineUser = 3_000, Count, "offline messages of one user";
    /// Section 1, "documented elsewhere": attachments are kept 7 days.
    AttachmentRetention = 7 * 86_400, Seconds, "retention of attachments";
    /// Section 1, "documented elsewhere": the default recall window.
    RecallWindow = 2 * 60, Seconds, "recall window by default";
    /// Section 1, "documented elsewhere": the longest recall window.
    RecallWindowMax = 7 * 86_400, Seconds, "recall window";
    /// Section 1, "documented elsewhere": members a group is made for if nothing else is asked.
    GroupMaxUsersDefault = 200, Count, "members of a group by default";
    /// Section 1, "documented elsewhere": members a chatroom is made for if nothing else is asked.
    RoomMaxUsersDefault = 1_000, Count, "members of a chatroom by default";
    /// Section 1, "documented elsewhere": largest room size that may be asked for.
    RoomMaxUsers = 10_000, Count, "members to make a chatroom for";
    /// Row 2.
    RegistrationBatch = 60, Count, "users in one registration";
    /// Rows 6 and 8.
    UserPage = 100, Count, "users on one page";
    /// Row 11.
    StatusBatch = 100, Count, "users in one status call";
    /// Row 17.
    MuteSeconds = 2_147_483_647, Seconds, "global mute";
    /// Row 19.
    MutePage = 50, Count, "mutes on one page";
    /// Row 20.
    DirectTargets = 600, Count, "users in one send call";
    /// Row 21.
    GroupTargets = 3, Count, "groups in one send call";
    /// Row 22.
    RoomTargets = 10, Count, "chatrooms in one send call";
    /// Section 5, common send body.
    RoamIgnoreUsers = 20, Count, "users who never see a message";
    /// Section 5, type `custom`: `customEvent`.
    CustomEvent = 32, Characters, "custom event";
    /// Section 5, type `custom`: `customExts`.
    CustomExts = 16, Count, "entries of a custom message";
    /// Section 5, roaming.
    RoamingPage = 50, Count, "messages on one roaming page";
    /// Row 34.
    BlockPage = 50, Count, "blocked users on one page";
    /// Row 35.
    BlockBatch = 50, Count, "users in one block call";
    /// Row 38.
    AttributeTargets = 100, Count, "users in one attribute call";
    /// Row 37: the well-known key `nickname`.
    AttributeNickname = 64, Characters, "user attribute nickname";
    /// Row 37: the well-known key `avatarurl`.
    AttributeAvatarUrl = 256, Characters, "user attribute avatarurl";
    /// Row 37: the well-known key `phone`.
    AttributePhone = 32, Characters, "user attribute phone";
    /// Row 37: the well-known key `mail`.
    AttributeMail = 64, Characters, "user attribute mail";
    /// Row 37: the well-known key `sign`.
    AttributeSign = 256, Characters, "user attribute sign";
    /// Row 37: the well-known key `birth`.
    AttributeBirth = 64, Characters, "user attribute birth";
    /// Row 42.
    GroupPage = 1_000, Count, "groups on one page";
    /// Row 43, where a page is asked for.
    JoinedGroupPage = 100, Count, "joined groups on one page";
    /// Row 43, where no page is asked for: the latest.
    JoinedGroupsUnpaged = 500, Count, "joined groups in one answer";
    /// Row 44.
    GroupDetails = 100, Count, "groups in one detail call";
    /// Row 45.
    GroupFounders = 100, Count, "members given when a group is created";
    /// Row 52.
    SharedFilePage = 1_000, Count, "shared files on one page";
    /// Row 56.
    MemberPage = 1_000, Count, "members on one page";
    /// Row 65.
    GroupBlockPage = 50, Count, "blocked members on one page";
    /// Row 79; the 2023 edition says 100.
    RoomPage = 1_000, Count, "chatrooms on one page";
    /// Row 80, where a page is asked for.
    JoinedRoomPage = 1_000, Count, "joined chatrooms on one page";
    /// Row 80, where no page is asked for: the latest.
    JoinedRoomsUnpaged = 500, Count, "joined chatrooms in one answer";
    /// Row 81.
    RoomDetails = 100, Count, "chatrooms in one detail call";
    /// Row 92.
    RoomMemberPage = 1_000, Count, "chatroom members on one page";
    /// Rows 58, 60, 67, 69, 72, 73, 75, 77 and their room counterparts.
    MemberBatch = 60, Count, "members in one call";
    /// Row 96: the text says 100, its error says 60.
    RoomMemberRemovals = 100, Count, "chatroom members removed in one call";
    /// Row 117.
    PushSilence = 604_800_000, Milliseconds, "push silence";
    /// Row 121.
    PushTemplateName = 64, Characters, "push template name";
    /// Row 124.
    PushLabelName = 64, Characters, "push label name";
    /// Row 124.
    PushLabelDescription = 255, Characters, "push label description";
    /// Row 124.
    PushLabels = 100, Count, "push labels of the app";
    /// Row 128; the English edition says 20,000.
    PushLabelUsers = 200_000, Count, "users of one push label";
    /// Rows 128 and 131.
    PushLabelBatch = 100, Count, "users in one push label call";
    /// Rows 126 and 130.
    PushLabelPage = 100, Count, "push labels on one page";
    /// Row 132.
    PushTargets = 100, Count, "users in one push call";
    /// Row 132.
    PushTitle = 32, Characters, "push title";
    /// Row 132.
    PushSubtitle = 10, Characters, "push subtitle";
    /// Row 132.
    PushContent = 100, Characters, "push content";
    /// Row 132.
    PushExtension = 1_024, Characters, "push extension";
    /// Row 132.
    PushExtensionKeys = 10, Count, "keys of a push extension";
    /// Row 133.
    PushLabelTargets = 5, Count, "labels in one push call";
    /// Row 133.
    PushTasks = 3, Count, "push tasks at once";
    /// Row 135; the 2023 edition says 64.
    PresenceExtension = 1_024, Bytes, "presence note";
    /// Row 136.
    PresenceSeconds = 2_592_000, Seconds, "presence subscription";
    /// Rows 136 to 138.
    PresenceBatch = 100, Count, "users in one presence call";
    /// Row 139.
    PresencePage = 500, Count, "presence subscriptions on one page";
    /// Row 141.
    ReactionMessages = 20, Count, "messages in one reaction call";
    /// Row 143.
    ReactionPage = 50, Count, "users on one reaction page";
    /// Rows 147 to 150.
    ThreadPage = 50, Count, "threads on one page";
    /// Rows 151 and 152.
    ThreadBatch = 10, Count, "users in one thread call";
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Limit {
    /// Checks a value in the limit's own unit.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if it is larger.
    pub const fn check(self, actual: u64) -> Result<(), LimitError> {
        let max = self.max();
        if actual <= max {
            return Ok(());
        }
        Err(LimitError {
            limit: Exceeded::Limit(self),
            max,
            actual,
        })
    }

    /// Checks a text, counted in the limit's own unit: bytes where it says bytes, characters otherwise.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if it is longer.
    pub fn check_text(self, text: &str) -> Result<(), LimitError> {
        let actual = match self.unit() {
            Unit::Bytes => text.len(),
            _ => text.chars().count(),
        };
        self.check(actual as u64)
    }
}
