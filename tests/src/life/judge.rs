//! What a check demands of a store.

use tidestore::{Error, ErrorKind, Result};

/// How much damage the store has suffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rigor {
    /// None: everything must be there.
    Whole,
    /// Some: what is there must be right, what is not must say so.
    Damaged {
        /// Whether opening said that the log ends in a torn batch: the last thing told may be missing.
        torn: bool,
        /// Whether opening said that a file is missing: what is not there may be gone.
        missing: bool,
    },
}

/// Whether a path was refused because something else than a regular file stands there.
pub fn is_refused(error: &Error) -> bool {
    format!("{error:?}").contains("kind: Refused")
}

/// Judges answers of a store.
#[derive(Clone, Debug)]
pub struct Judge {
    what: String,
    rigor: Rigor,
    /// How many answers named damage.
    pub damaged: usize,
    /// How many things stand as they did before the last change that was told.
    pub behind: usize,
    /// How many things are gone that were told.
    pub gone: usize,
}

impl Judge {
    /// A judge of what happened.
    pub fn new(what: impl Into<String>, rigor: Rigor) -> Self {
        Self {
            what: what.into(),
            rigor,
            damaged: 0,
            behind: 0,
            gone: 0,
        }
    }

    /// What happened.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The answer, unless it names damage and may.
    ///
    /// # Panics
    ///
    /// On any other error, and on damage that names no file.
    pub fn answer<T>(&mut self, answer: Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                let is_damage = *error.kind() == ErrorKind::Corruption || is_refused(&error);
                let may = self.rigor != Rigor::Whole && is_damage;
                assert!(may, "{}: {error:?}", self.what);
                let text = format!("{error:?}");
                let named = ["log", ".seg", ".vol", ".rcp", "views", "STORE"];
                assert!(
                    named.iter().any(|name| text.contains(name)),
                    "{}: names no file: {text}",
                    self.what
                );
                self.damaged += 1;
                None
            }
        }
    }

    /// Something that was told is not there.
    ///
    /// # Panics
    ///
    /// If nothing explains that.
    pub fn miss(&mut self, thing: &dyn std::fmt::Debug) {
        let Rigor::Damaged { torn, missing } = self.rigor else {
            panic!("{}: lost {thing:?}", self.what);
        };
        assert!(torn || missing, "{}: lost in silence: {thing:?}", self.what);
        self.gone += 1;
        if !missing {
            self.behind();
        }
    }

    /// Something stands as it did one change ago.
    ///
    /// # Panics
    ///
    /// If no torn batch explains that, or more than one batch would have to be missing.
    pub fn behind(&mut self) {
        let is_torn = matches!(self.rigor, Rigor::Damaged { torn: true, .. });
        assert!(is_torn, "{}: a change that was told is gone", self.what);
        self.behind += 1;
        assert!(
            self.behind <= 3,
            "{}: more is gone than one batch",
            self.what
        );
    }

    /// Whether a torn batch is known of.
    pub fn is_torn(&self) -> bool {
        matches!(self.rigor, Rigor::Damaged { torn: true, .. })
    }

    /// Whether anything may be gone.
    pub fn is_damaged(&self) -> bool {
        self.rigor != Rigor::Whole
    }
}
