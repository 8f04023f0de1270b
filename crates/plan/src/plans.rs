//! The four plans and their caps.

use std::fmt;
use std::str::FromStr;

use crate::limits::{Exceeded, LimitError};

/// What a tenant has booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plan {
    /// The free plan.
    Free,
    /// The basic plan.
    Basic,
    /// The pro plan.
    Pro,
    /// The plan whose figures are agreed on one by one.
    Enterprise,
}

/// How long messages live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Retention(u32);

/// Why terms are not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TermsError {
    /// A retention outside 1 to 36,500 days.
    Retention {
        /// The days that were asked for.
        days: u32,
    },
    /// A figure of one's own on a plan whose figures are fixed.
    NotCustom {
        /// The plan.
        plan: Plan,
    },
    /// A text that names no plan.
    UnknownPlan {
        /// The beginning of the text.
        text: String,
    },
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention { days } => {
                write!(
                    f,
                    "a retention of {days} days; 1 to {} are possible",
                    Retention::DAYS_MAX
                )
            }
            Self::NotCustom { plan } => {
                write!(
                    f,
                    "the figures of the {plan} plan are fixed; only enterprise has its own"
                )
            }
            Self::UnknownPlan { text } => {
                write!(
                    f,
                    "{text:?} is no plan; there are free, basic, pro and enterprise"
                )
            }
        }
    }
}

impl std::error::Error for TermsError {}

impl Retention {
    /// The longest retention: a hundred years.
    pub const DAYS_MAX: u32 = 36_500;

    /// A retention of so many days.
    ///
    /// # Errors
    ///
    /// [`TermsError::Retention`] outside 1 to 36,500.
    pub const fn days(days: u32) -> Result<Self, TermsError> {
        if days == 0 || days > Self::DAYS_MAX {
            return Err(TermsError::Retention { days });
        }
        Ok(Self(days))
    }

    /// Whole days.
    pub const fn as_days(self) -> u32 {
        self.0
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 as u64 * 86_400_000
    }
}

impl Plan {
    /// Every plan, smallest first. Stored by its place here.
    pub const ALL: [Self; 4] = [Self::Free, Self::Basic, Self::Pro, Self::Enterprise];

    /// The plan's name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// The plan's caps; for Enterprise the defaults. Source: the table "per plan" of section 1, row by row.
    pub fn caps(self) -> Caps {
        let by_plan = |free, basic, pro, enterprise| match self {
            Self::Free => free,
            Self::Basic => basic,
            Self::Pro => pro,
            Self::Enterprise => enterprise,
        };
        Caps {
            // Row "registered users per app".
            users: by_plan(Some(100), None, None, None),
            // Row "users online at once".
            users_online: by_plan(Some(100), None, None, None),
            // Row "contacts per user".
            contacts_per_user: by_plan(Some(100), Some(3_000), None, None),
            // Row "groups per app".
            groups: by_plan(Some(100), Some(100_000), None, None),
            // Row "members per group, owner included".
            group_members: by_plan(Some(100), Some(300), Some(3_000), Some(8_000)),
            // Row "groups a user may join".
            groups_per_user: by_plan(Some(100), Some(600), None, None),
            // Row "chatrooms per app".
            rooms: by_plan(Some(0), Some(100), None, None),
            // Row "members per chatroom".
            room_members: by_plan(Some(0), None, None, None),
            // Row "chatrooms a user may join".
            rooms_per_user: by_plan(Some(0), None, None, None),
            // Row "message storage, days".
            retention: Retention(match self {
                Self::Free => 3,
                Self::Basic => 7,
                Self::Pro => 90,
                Self::Enterprise => 180,
            }),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Plan {
    type Err = TermsError;

    fn from_str(text: &str) -> Result<Self, TermsError> {
        let plan = Self::ALL
            .into_iter()
            .find(|plan| plan.as_str().eq_ignore_ascii_case(text));
        plan.ok_or_else(|| TermsError::UnknownPlan {
            text: text.chars().take(40).collect(),
        })
    }
}

/// The caps of an app. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Registered users of the app.
    pub users: Option<u64>,
    /// Users online at once.
    pub users_online: Option<u64>,
    /// Contacts of one user.
    pub contacts_per_user: Option<u64>,
    /// Groups of the app.
    pub groups: Option<u64>,
    /// Members of one group, the owner included.
    pub group_members: Option<u64>,
    /// Groups that one user may join.
    pub groups_per_user: Option<u64>,
    /// Chatrooms of the app.
    pub rooms: Option<u64>,
    /// Members of one chatroom.
    pub room_members: Option<u64>,
    /// Chatrooms that one user may join.
    pub rooms_per_user: Option<u64>,
    /// How long messages live.
    pub retention: Retention,
}

/// Names one of the caps that count things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CapKind {
    /// [`Caps::users`].
    Users,
    /// [`Caps::users_online`].
    UsersOnline,
    /// [`Caps::contacts_per_user`].
    ContactsPerUser,
    /// [`Caps::groups`].
    Groups,
    /// [`Caps::group_members`].
    GroupMembers,
    /// [`Caps::groups_per_user`].
    GroupsPerUser,
    /// [`Caps::rooms`].
    Rooms,
    /// [`Caps::room_members`].
    RoomMembers,
    /// [`Caps::rooms_per_user`].
    RoomsPerUser,
}

impl CapKind {
    /// Every cap, in the order of the fields of [`Caps`].
    pub const ALL: [Self; 9] = [
        Self::Users,
        Self::UsersOnline,
        Self::ContactsPerUser,
        Self::Groups,
        Self::GroupMembers,
        Self::GroupsPerUser,
        Self::Rooms,
        Self::RoomMembers,
        Self::RoomsPerUser,
    ];

    /// What it caps, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "registered users of the app",
            Self::UsersOnline => "users online at once",
            Self::ContactsPerUser => "contacts of one user",
            Self::Groups => "groups of the app",
            Self::GroupMembers => "members of one group",
            Self::GroupsPerUser => "groups of one user",
            Self::Rooms => "chatrooms of the app",
            Self::RoomMembers => "members of one chatroom",
            Self::RoomsPerUser => "chatrooms of one user",
        }
    }
}

impl Caps {
    /// A cap by its name.
    pub const fn get(&self, kind: CapKind) -> Option<u64> {
        match kind {
            CapKind::Users => self.users,
            CapKind::UsersOnline => self.users_online,
            CapKind::ContactsPerUser => self.contacts_per_user,
            CapKind::Groups => self.groups,
            CapKind::GroupMembers => self.group_members,
            CapKind::GroupsPerUser => self.groups_per_user,
            CapKind::Rooms => self.rooms,
            CapKind::RoomMembers => self.room_members,
            CapKind::RoomsPerUser => self.rooms_per_user,
        }
    }

    /// Checks how many there would be.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if that is more than the cap.
    pub const fn check(&self, kind: CapKind, actual: u64) -> Result<(), LimitError> {
        match self.get(kind) {
            Some(max) if actual > max => Err(LimitError {
                limit: Exceeded::Cap(kind),
                max,
                actual,
            }),
            _ => Ok(()),
        }
    }
}

/// What an app is kept on: its plan and the caps that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    plan: Plan,
    caps: Caps,
}

impl Terms {
    /// A plan with its own figures; Enterprise with the defaults.
    pub fn of(plan: Plan) -> Self {
        Self {
            plan,
            caps: plan.caps(),
        }
    }

    /// Enterprise with figures of one's own.
    pub const fn enterprise(caps: Caps) -> Self {
        Self {
            plan: Plan::Enterprise,
            caps,
        }
    }

    /// The same terms with another retention.
    ///
    /// # Errors
    ///
    /// [`TermsError::NotCustom`] on every plan but Enterprise.
    pub fn with_retention(mut self, retention: Retention) -> Result<Self, TermsError> {
        if self.plan != Plan::Enterprise {
            return Err(TermsError::NotCustom { plan: self.plan });
        }
        self.caps.retention = retention;
        Ok(self)
    }

    /// The plan.
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    /// The caps.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// How long messages live.
    pub const fn retention(&self) -> Retention {
        self.caps.retention
    }
}
