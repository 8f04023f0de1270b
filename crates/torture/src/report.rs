//! What was survived, in numbers, and what was not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::compare::Compared;

/// What happened to the stores, and what was compared afterwards.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Numbers by name, in the order of [`NAMES`].
    pub counts: BTreeMap<&'static str, u64>,
    /// What was lost, or was wrong. Empty is what everybody wants.
    pub findings: Vec<Finding>,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The seed of the run.
    pub seed: u64,
    /// The round in it.
    pub round: u64,
    /// What is wrong.
    pub what: String,
    /// Where the store lies as it was found.
    pub kept: Option<PathBuf>,
}

impl Finding {
    /// The command that does the round again.
    pub fn command(&self) -> String {
        format!(
            "tidestore torture --seed {} --round {}",
            self.seed, self.round
        )
    }
}

/// The rows of the table: a name, and what it counts.
pub const NAMES: [(&str, &str); 29] = [
    ("rounds", "rounds"),
    ("simulated", "  of them simulated"),
    ("real", "  of them with real processes"),
    ("lives", "openings of a store"),
    ("operations", "operations answered"),
    ("unanswered", "operations without an answer"),
    ("messages", "messages compared"),
    ("imported", "imported messages compared"),
    ("changes", "edits, recalls and reactions compared"),
    ("attachments", "attachments read and compared"),
    ("directory", "users, contacts and members compared"),
    ("attributes", "attributes compared"),
    ("pending", "pending messages compared"),
    ("counts", "unread counts compared"),
    ("ledgers", "ledgers compared"),
    ("verified", "whole verifications, clean"),
    ("cuts", "power cuts"),
    ("kills", "kills of a process"),
    ("crashes", "stores dropped without closing"),
    ("failed_syncs", "failed syncs"),
    ("io_errors", "failed or short input and output"),
    ("full_disks", "full disks"),
    ("expired_when_full", "expiries on a full disk"),
    ("clock_jumps", "jumps of the clock"),
    ("flips", "flipped bits"),
    ("cut_files", "files cut short"),
    ("lost_files", "files lost"),
    ("stale_files", "older files put back"),
    ("strange_files", "foreign and duplicated files"),
];

impl Report {
    /// Adds to a number.
    pub(crate) fn add(&mut self, name: &'static str, by: u64) {
        *self.counts.entry(name).or_default() += by;
    }

    /// Adds what was compared.
    pub(crate) fn compared(&mut self, compared: &Compared) {
        for (name, count) in [
            ("messages", compared.messages),
            ("imported", compared.imported),
            ("changes", compared.changes),
            ("attachments", compared.attachments),
            ("directory", compared.directory),
            ("attributes", compared.attributes),
            ("pending", compared.pending),
            ("counts", compared.counts),
            ("ledgers", compared.ledgers),
        ] {
            self.add(name, count);
        }
    }

    /// A number.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Takes over what another counted and found.
    pub fn absorb(&mut self, other: Self) {
        for (name, count) in other.counts {
            self.add(name, count);
        }
        self.findings.extend(other.findings);
    }
}
