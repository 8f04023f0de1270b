//! What a user wants to be told of: in the whole app, and in single conversations.
//!
//! A setting for a peer or a group stays when that is deleted, as the name in a block list does.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, row};
use tidestore_plan::{AppId, Limit, ResourceId, UserId};

use crate::directory::{Directory, Editor};
use crate::error::{Error, Result};
use crate::tables::{PUSH_LANGUAGES, PUSH_SETTINGS, key_of};

/// Of which messages a user is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum PushMode {
    /// In a conversation: as in the whole app. In the whole app: of all.
    #[default]
    Default,
    /// Of all.
    All,
    /// Of those that mention him.
    At,
    /// Of none.
    None,
}

/// What a setting is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushScope {
    /// The whole app.
    App,
    /// The direct conversation with a user.
    User(UserId),
    /// A group.
    Group(ResourceId),
}

impl PushScope {
    fn key(&self, app: AppId, user: &UserId) -> Key {
        let key = settings_of(app, user);
        match self {
            Self::App => key.byte(0),
            Self::User(peer) => key.byte(1).name(peer.as_str()),
            Self::Group(group) => key.byte(2).name(group.as_str()),
        }
    }
}

/// All settings of a user.
pub(super) fn settings_of(app: AppId, user: &UserId) -> Key {
    key_of(app).names(user.as_str())
}

/// What a user wants to be told of. What was never set is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSetting {
    /// Of which messages.
    pub mode: Option<PushMode>,
    /// Every day of nothing from one minute to another, `HH:MM-HH:MM` in UTC; the first may be the later one. Of the whole
    /// app only.
    pub ignore_interval: Option<String>,
    /// Of nothing before this time, in milliseconds since 1970.
    pub silent_until: Option<Millis>,
}

/// What is to change of a setting; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSettingChange {
    /// Of which messages the user is told.
    pub mode: Option<PushMode>,
    /// Between which minutes of the day, in UTC, of nothing: `HH:MM-HH:MM`; an empty one takes it away. Of the whole app only.
    pub ignore_interval: Option<String>,
    /// For how long from now on of nothing, in milliseconds, at most 7 days; 0 ends a silence.
    pub ignore_duration_ms: Option<u64>,
}

/// The value of `PUSH_SETTINGS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct PushSettingRow {
    mode: Option<PushMode>,
    /// Minutes of the day between which nothing is pushed.
    ignored: Option<Interval>,
    silent_until: Option<Millis>,
}

impl PushSettingRow {
    fn setting(self) -> PushSetting {
        PushSetting {
            mode: self.mode,
            ignore_interval: self.ignored.map(|interval| interval.to_string()),
            silent_until: self.silent_until,
        }
    }
}

/// From one minute of the day to another, the second not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Interval {
    from: u16,
    to: u16,
}

const MINUTE: Millis = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

impl Interval {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        Some(Self {
            from: minute_of_day(from)?,
            to: minute_of_day(to)?,
        })
    }

    fn holds(self, now: Millis) -> bool {
        let minute = now / MINUTE % DAY_MINUTES;
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        if from <= to {
            (from..to).contains(&minute)
        } else {
            minute >= from || minute < to
        }
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        let (h1, m1, h2, m2) = (from / 60, from % 60, to / 60, to % 60);
        write!(f, "{h1:02}:{m1:02}-{h2:02}:{m2:02}")
    }
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let hour = two_digits(hour).filter(|hour| *hour < 24)?;
    let minute = two_digits(minute).filter(|minute| *minute < 60)?;
    Some(60 * hour + minute)
}

/// Whether a user wants to be told of a message at a time.
///
/// The mode of the conversation counts if it is set and not the default, otherwise that of the whole app. Nothing is wanted
/// while a silence of either lasts, or inside the daily interval of the whole app.
///
/// ```
/// use tidestore_directory::{PushMode, PushSetting, wants_push};
///
/// let app = PushSetting { mode: Some(PushMode::At), ..PushSetting::default() };
/// let group = PushSetting::default();
/// assert!(wants_push(&app, &group, 0, true));
/// assert!(!wants_push(&app, &group, 0, false));
/// ```
pub fn wants_push(
    app: &PushSetting,
    conversation: &PushSetting,
    now: Millis,
    is_mention: bool,
) -> bool {
    let lasts = |setting: &PushSetting| setting.silent_until.is_some_and(|until| now < until);
    let interval = app.ignore_interval.as_deref().and_then(Interval::parse);
    if lasts(app) || lasts(conversation) || interval.is_some_and(|interval| interval.holds(now)) {
        return false;
    }
    let own = conversation.mode.filter(|mode| *mode != PushMode::Default);
    match own.or(app.mode).unwrap_or_default() {
        PushMode::Default | PushMode::All => true,
        PushMode::At => is_mention,
        PushMode::None => false,
    }
}

/// Characters of a language: no tag of any standard is as long.
const LANGUAGE_MAX: usize = 64;

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// What a user has set; nothing if he never did.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn push_setting(&self, user: &UserId, scope: &PushScope) -> Result<PushSetting> {
        self.user_row(user)?;
        let key = scope.key(self.app, user);
        let found: Option<PushSettingRow> = row(self.rows, PUSH_SETTINGS, key.bytes())?;
        Ok(found.unwrap_or_default().setting())
    }

    /// Into which language a user wants notifications translated; empty for none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound).
    pub fn push_language(&self, user: &UserId) -> Result<String> {
        self.user_row(user)?;
        let key = key_of(self.app).name(user.as_str());
        Ok(row(self.rows, PUSH_LANGUAGES, key.bytes())?.unwrap_or_default())
    }
}

impl Editor<'_, '_> {
    /// Changes what a user wants to be told of, and says what it is now. Whether there is such a peer or group is not asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound); [`ErrorKind::Limit`](crate::ErrorKind::Limit) for a
    /// silence of over 7 days; [`ErrorKind::Argument`](crate::ErrorKind::Argument) for an interval that is none, or one that
    /// is not for the whole app.
    pub fn set_push_setting(
        &mut self,
        user: &UserId,
        scope: &PushScope,
        change: PushSettingChange,
    ) -> Result<PushSetting> {
        let interval = change
            .ignore_interval
            .map(|text| checked_interval(scope, &text));
        let interval = interval.transpose()?;
        if let Some(millis) = change.ignore_duration_ms {
            self.scope.limits.check(Limit::PushSilence, millis)?;
        }
        self.directory().user_row(user)?;
        let key = scope.key(self.scope.app, user);
        let found: Option<PushSettingRow> = self.rows.get(PUSH_SETTINGS, key.bytes())?;
        let before = found.unwrap_or_default();
        let until = |millis| self.scope.now.saturating_add(millis);
        let after = PushSettingRow {
            mode: change.mode.or(before.mode),
            ignored: interval.unwrap_or(before.ignored),
            silent_until: change.ignore_duration_ms.map(until).or(before.silent_until),
        };
        if after == PushSettingRow::default() {
            self.rows.delete(PUSH_SETTINGS, key);
        } else {
            self.rows.put(PUSH_SETTINGS, key, &after)?;
        }
        Ok(after.setting())
    }

    /// Sets into which language a user wants notifications translated; an empty one for none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound); [`ErrorKind::Argument`](crate::ErrorKind::Argument) over
    /// 64 characters.
    pub fn set_push_language(&mut self, user: &UserId, language: &str) -> Result<()> {
        let characters = language.chars().count();
        if characters > LANGUAGE_MAX {
            let text =
                format!("a language of {characters} characters; give at most {LANGUAGE_MAX}");
            return Err(Error::argument(text));
        }
        self.directory().user_row(user)?;
        let key = key_of(self.scope.app).name(user.as_str());
        if language.is_empty() {
            self.rows.delete(PUSH_LANGUAGES, key);
            return Ok(());
        }
        Ok(self.rows.put(PUSH_LANGUAGES, key, &language)?)
    }
}

/// What a change makes of the interval: `None` takes it away.
fn checked_interval(scope: &PushScope, text: &str) -> Result<Option<Interval>> {
    if *scope != PushScope::App {
        let text = "a daily interval is for the whole app, not for one conversation";
        return Err(Error::argument(text));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::argument("a daily interval is written HH:MM-HH:MM, such as 22:00-07:30");
    Interval::parse(text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::{Interval, MINUTE, PushMode, PushSetting, wants_push};

    #[test]
    fn an_interval_is_two_minutes_of_a_day_and_nothing_else() {
        for text in ["00:00-23:59", "22:00-07:30", "12:00-12:00"] {
            assert_eq!(Interval::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "-",
            "22:00",
            "22:00-",
            "24:00-07:00",
            "22:60-07:00",
            "9:00-10:00",
            "22:00-07:30 ",
            "+2:00-07:30",
            "22:00-07:30-08:00",
            "22:00:00-07:30",
        ] {
            assert_eq!(Interval::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_interval_may_go_over_midnight_and_ends_before_its_second_minute() {
        let holds = |text, minute: u64| {
            let interval = Interval::parse(text).unwrap();
            interval.holds((5 * 24 * 60 + minute) * MINUTE + 59_999)
        };
        for (minute, held) in [(599, false), (600, true), (659, true), (660, false)] {
            assert_eq!(holds("10:00-11:00", minute), held, "{minute}");
        }
        for (minute, held) in [(1_319, false), (1_320, true), (1_439, true), (0, true)] {
            assert_eq!(holds("22:00-00:01", minute), held, "{minute}");
        }
        assert!(!holds("22:00-00:01", 1) && !holds("10:00-10:00", 600));
    }

    #[test]
    fn the_mode_of_a_conversation_comes_before_that_of_the_app() {
        use PushMode::{All, At, Default, None};
        let of = |mode| PushSetting {
            mode,
            ..PushSetting::default()
        };
        // Of the app, of the conversation, whether other messages and mentions are wanted.
        for (app, own, other, mention) in [
            (Option::None, Option::None, true, true),
            (Some(Default), Some(Default), true, true),
            (Some(None), Option::None, false, false),
            (Some(None), Some(Default), false, false),
            (Some(None), Some(All), true, true),
            (Some(None), Some(At), false, true),
            (Some(At), Option::None, false, true),
            (Some(All), Some(None), false, false),
        ] {
            let wants = |mention| wants_push(&of(app), &of(own), 7, mention);
            assert_eq!(
                (wants(false), wants(true)),
                (other, mention),
                "{app:?} {own:?}"
            );
        }
    }

    #[test]
    fn nothing_is_wanted_in_a_silence_or_in_the_daily_interval() {
        let none = PushSetting::default();
        let silent = PushSetting {
            silent_until: Some(1_000),
            mode: Some(PushMode::All),
            ..PushSetting::default()
        };
        for (app, own) in [(&silent, &none), (&none, &silent)] {
            assert!(!wants_push(app, own, 999, true));
            assert!(wants_push(app, own, 1_000, true));
        }
        let night = PushSetting {
            ignore_interval: Some("23:00-01:00".to_owned()),
            ..PushSetting::default()
        };
        assert!(!wants_push(&night, &none, 59 * MINUTE, true));
        assert!(wants_push(&night, &none, 60 * MINUTE, true));
    }
}
