//! What a model makes of an answer.

/// How an answer stands to what a model expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as expected; the model has moved on.
    Fits,
    /// The model would have refused; it is unchanged.
    Refuses,
    /// The store said something that cannot be.
    Contradicts(String),
}

impl Verdict {
    /// Done, or refused.
    pub(crate) fn of(is_done: bool) -> Self {
        if is_done { Self::Fits } else { Self::Refuses }
    }

    /// Fits, or contradicts with a reason.
    pub(crate) fn or(fits: bool, why: impl FnOnce() -> String) -> Self {
        if fits {
            Self::Fits
        } else {
            Self::Contradicts(why())
        }
    }

    /// A call that was answered as a whole and refused in each of its parts.
    pub(crate) fn refuses_or(all_refused: bool) -> Self {
        if all_refused {
            Self::Fits
        } else {
            Self::Refuses
        }
    }
}

/// The store said something that cannot be.
pub(crate) fn contradicts(why: String) -> Verdict {
    Verdict::Contradicts(why)
}
