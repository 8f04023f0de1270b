//! What may be the case: one state, or several while requests are open that nobody answered.

use crate::chat::{Chat, Window};
use crate::compare::{Compared, Demand, compare};
use crate::observe::Observed;
use crate::op::{Answer, Failure, Op, Said};
use crate::people::People;
use crate::verdict::{Verdict, contradicts};

/// Everything that a lane should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) chat: Chat,
    pub(crate) people: People,
}

impl State {
    /// That of a lane which was just set up.
    pub(crate) fn new() -> Self {
        Self {
            chat: Chat::new(),
            people: People::default(),
        }
    }

    fn apply(&mut self, op: &Op, said: Option<&Said>, window: Window) -> Verdict {
        match op {
            Op::People(op) => self.people.apply(op, said),
            op => self.chat.apply(op, said, window),
        }
    }
}

/// The states that agree with all that was answered.
#[derive(Clone, Debug)]
pub(crate) struct States {
    all: Vec<State>,
    /// Parts that share a shard which said that it takes no more.
    latched: Vec<usize>,
    /// Whether a change failed by which other shards go, of the plan or of a membership: it may be in the log, and until the
    /// store is opened again memory goes by what was before. What is answered meanwhile must not decide between the two.
    is_rule_open: bool,
    /// A deletion in several records that failed. What it deletes is gone, but not all that belongs to it; until it is asked for
    /// again, nothing is asked that could see the difference.
    unfinished: Option<Op>,
}

/// Whether anything was done; a call for many may be refused in each of its parts.
fn has_stored(said: &Said) -> bool {
    match said {
        Said::Receipts(all) => all.iter().flatten().any(|receipt| !receipt.duplicate),
        Said::Changed(changed) => *changed,
        _ => true,
    }
}

/// Requests that are open at a time; each may double the number of states.
const OPEN_MAX: usize = 5;

impl States {
    pub(crate) fn new() -> Self {
        Self {
            all: vec![State::new()],
            latched: Vec::new(),
            is_rule_open: false,
            unfinished: None,
        }
    }

    /// One of them.
    pub(crate) fn any(&self) -> Option<&State> {
        self.all.first()
    }

    /// Whether only one is left.
    pub(crate) fn is_certain(&self) -> bool {
        self.all.len() == 1
    }

    /// Whether nothing more should be asked before the store is opened again.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_rule_open || self.all.len() >= 1 << OPEN_MAX
    }

    /// The request that may be made now in the place of another. Who joins a group while a message to it is open may find it
    /// unread or not: both were never answered, so either may have come first. The model knows one order only.
    pub(crate) fn instead(&self, op: Op) -> Option<Op> {
        match (&op, &self.unfinished) {
            (Op::People(_), Some(unfinished)) => Some(unfinished.clone()),
            (Op::Join { .. }, _) if !self.is_certain() => None,
            _ => Some(op),
        }
    }

    /// Whether a shard has said that it takes no more.
    pub(crate) fn is_latched(&self) -> bool {
        !self.latched.is_empty()
    }

    /// A request without an answer: it may have been done, whole, or not at all.
    pub(crate) fn leave_open(&mut self, op: &Op, window: Window) {
        if !op.is_change() {
            return;
        }
        let mut done = Vec::new();
        for state in &self.all {
            let mut after = state.clone();
            if after.apply(op, None, window) == Verdict::Fits && after != *state {
                done.push(after);
            }
        }
        self.all.extend(done);
    }

    /// Takes an answer into account.
    ///
    /// # Errors
    ///
    /// Why no state agrees with it.
    pub(crate) fn hear(&mut self, op: &Op, answer: &Answer, window: Window) -> Result<(), String> {
        let certain = self.is_certain();
        if self.unfinished.as_ref() == Some(op) {
            self.unfinished = None;
        }
        match answer {
            Answer::Done(said) => {
                if let Some(class) = op.shard_class()
                    && self.latched.contains(&class)
                    && has_stored(said)
                {
                    return Err(format!(
                        "{op:?} was acknowledged after its shard had stopped"
                    ));
                }
                // While requests are open, what is read says nothing of what will be left of them.
                if !op.is_change() && !certain {
                    return Ok(());
                }
                self.keep(op, answer, |state| state.apply(op, Some(said), window))
            }
            Answer::Refused(why) => self.keep(op, answer, |state| {
                let mut untouched = state.clone();
                match untouched.apply(op, None, window) {
                    Verdict::Refuses => Verdict::Fits,
                    _ => contradicts(format!("{op:?} was refused: {why}")),
                }
            }),
            Answer::Failed(failure, _) => {
                if let (Failure::Poisoned, Some(class)) = (failure, op.shard_class()) {
                    self.latched.push(class);
                }
                let is_of_all = matches!(op, Op::Terms { .. } | Op::Undo | Op::Join { .. });
                self.is_rule_open |= is_of_all && *failure != Failure::Full;
                if !op.is_one_record() {
                    self.unfinished = Some(op.clone());
                }
                if !(*failure == Failure::Full && op.is_one_record()) {
                    self.leave_open(op, window);
                }
                Ok(())
            }
        }
    }

    /// Keeps the states that agree.
    fn keep(
        &mut self,
        op: &Op,
        answer: &Answer,
        mut judge: impl FnMut(&mut State) -> Verdict,
    ) -> Result<(), String> {
        let (mut kept, mut why) = (Vec::new(), String::new());
        for mut state in std::mem::take(&mut self.all) {
            match judge(&mut state) {
                Verdict::Fits => kept.push(state),
                Verdict::Refuses => why = format!("{op:?} was done: {answer:?}"),
                Verdict::Contradicts(reason) => why = format!("{op:?}: {reason}"),
            }
        }
        self.all = kept;
        if self.all.is_empty() {
            Err(why)
        } else {
            Ok(())
        }
    }

    /// Keeps the states that agree with what was read after reopening.
    ///
    /// # Errors
    ///
    /// How the likeliest state differs, if none agrees.
    pub(crate) fn settle(&mut self, seen: &Observed, window: Window) -> Result<Compared, String> {
        self.latched.clear();
        self.is_rule_open = false;
        self.unfinished = None;
        let (mut reasons, mut agreeing, mut done) = (Vec::new(), Vec::new(), None);
        for state in &self.all {
            let mut state = state.clone();
            match compare(&mut state, seen, window, Demand::All) {
                // More than one may agree: whether a downgrade can be undone, only an undo tells.
                Ok(compared) => {
                    done = Some(compared);
                    if !agreeing.contains(&state) {
                        agreeing.push(state);
                    }
                }
                Err(reason) => reasons.push(reason),
            }
        }
        if let Some(compared) = done {
            self.all = agreeing;
            return Ok(compared);
        }
        let states = self.all.len();
        reasons.sort();
        reasons.dedup();
        let why = reasons.join("\n  or ");
        Err(format!(
            "{why}\n  (none of {states} possible states agrees)"
        ))
    }

    /// Compares without learning from it.
    ///
    /// # Errors
    ///
    /// As [`settle`](Self::settle).
    pub(crate) fn check(
        &self,
        seen: &Observed,
        window: Window,
        demand: Demand,
    ) -> Result<Compared, String> {
        let mut copy = self.any().cloned().unwrap_or_else(State::new);
        compare(&mut copy, seen, window, demand)
    }
}
