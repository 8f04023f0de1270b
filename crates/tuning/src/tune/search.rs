//! The search: one option after the other, always beside the best so far, until nothing helps any more.
//!
//! Machines are noisy, and so each candidate runs in turn with the best so far, in changing order, and only the ratios of such
//! pairs count. An option that helps by less than [`WORTH`] is left as it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::goal::{Gains, Goal};
use super::knob::{Knob, all_knobs};
use crate::error::{Error, Result};
use crate::knobs::Knobs;
use crate::outcome::Outcome;
use crate::spec::Spec;

/// Less is noise.
const WORTH: f64 = 1.03;
/// The most combinations that are tried exhaustively.
const COMBINATIONS_MAX: usize = 1_000;

/// How to look.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is better.
    pub goal: Goal,
    /// Names of the options that may be turned; all if it is empty.
    pub knobs: Vec<String>,
    /// Pairs that each candidate runs in; the median of their ratios counts.
    pub pairs: usize,
    /// How often all options are gone through at most.
    pub sweeps: usize,
    /// Whether all combinations are tried too, to see how far the search is from the best of them.
    pub is_exhaustive: bool,
    /// Where the stores lie meanwhile: on the disk in question.
    pub dir: PathBuf,
}

impl Plan {
    /// The usual one, on a disk.
    pub fn on(dir: impl Into<PathBuf>) -> Self {
        Self {
            goal: Goal::default(),
            knobs: Vec::new(),
            pairs: 3,
            sweeps: 2,
            is_exhaustive: false,
            dir: dir.into(),
        }
    }
}

/// One candidate beside the best of that moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which option was turned; none where all combinations were tried.
    pub knob: Option<String>,
    /// To what.
    pub value: u64,
    /// All options.
    pub knobs: Knobs,
    /// Its last outcome.
    pub outcome: Outcome,
    /// How it stands to the best of that moment: medians of its pairs.
    pub gains: Gains,
    /// By the goal.
    pub score: f64,
    /// Whether it was taken.
    pub is_taken: bool,
}

/// All combinations, as far as options were to be turned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exhaustive {
    /// How they stand to the default.
    pub trials: Vec<Trial>,
    /// The best of them.
    pub best: Knobs,
    /// How the recommended options stand to it when both run in turn: 1 is as good.
    pub recommended_to_best: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// What was wanted.
    pub goal: Goal,
    /// The options to use.
    pub recommended: Knobs,
    /// How they stand to the default ones, measured once more at the end.
    pub gains: Gains,
    /// By the goal.
    pub score: f64,
    /// The default's last outcome.
    pub default_outcome: Outcome,
    /// The recommended options' last outcome.
    pub outcome: Outcome,
    /// Everything that was tried.
    pub trials: Vec<Trial>,
    /// All combinations, if that was asked.
    pub exhaustive: Option<Exhaustive>,
}

/// Looks for the options that suit a load. `run` runs it once in an empty directory with some options, in this process or, better for
/// figures of memory, in one of its own; `watch` hears after each trial.
///
/// # Errors
///
/// [`Error::Spec`]: an unknown option, or too many combinations; [`Error::Io`], and what `run` reports.
pub async fn tune<F>(
    spec: &Spec,
    plan: &Plan,
    run: impl Fn(PathBuf, Knobs) -> F,
    watch: &(dyn Fn(&Trial) + Sync),
) -> Result<Tuned>
where
    F: Future<Output = Result<Outcome>>,
{
    let knobs = knobs_of(spec, plan)?;
    let bench = Bench {
        plan,
        run: &run,
        watch,
    };
    let (recommended, trials) = bench.search(spec.options, &knobs).await?;
    let (gains, outcome, default_outcome) = bench.compare(recommended, spec.options).await?;
    let exhaustive = if plan.is_exhaustive {
        Some(bench.exhaust(spec.options, &knobs, recommended).await?)
    } else {
        None
    };
    Ok(Tuned {
        goal: plan.goal,
        recommended,
        gains,
        score: gains.score(plan.goal),
        default_outcome,
        outcome,
        trials,
        exhaustive,
    })
}

fn knobs_of(spec: &Spec, plan: &Plan) -> Result<Vec<Knob>> {
    let all = all_knobs(spec.durability);
    if plan.knobs.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|knob| knob.name == name).cloned();
        found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|knob| knob.name).collect();
            Error::Spec(format!(
                "no option {name} to turn; there are {}",
                names.join(", ")
            ))
        })
    };
    plan.knobs.iter().map(find).collect()
}

struct Bench<'a, R> {
    plan: &'a Plan,
    run: &'a R,
    watch: &'a (dyn Fn(&Trial) + Sync),
}

impl<F: Future<Output = Result<Outcome>>, R: Fn(PathBuf, Knobs) -> F> Bench<'_, R> {
    async fn search(&self, start: Knobs, knobs: &[Knob]) -> Result<(Knobs, Vec<Trial>)> {
        let (mut best, mut trials) = (start, Vec::new());
        for _ in 0..self.plan.sweeps {
            let before = best;
            for knob in knobs {
                let mut tried = self.turn(best, knob).await?;
                let winner = tried
                    .iter_mut()
                    .filter(|trial| trial.score > WORTH)
                    .max_by(|a, b| a.score.total_cmp(&b.score));
                if let Some(winner) = winner {
                    winner.is_taken = true;
                    best = winner.knobs;
                }
                trials.append(&mut tried);
            }
            if best == before {
                break;
            }
        }
        Ok((best, trials))
    }

    /// All other values of one option beside the best.
    async fn turn(&self, best: Knobs, knob: &Knob) -> Result<Vec<Trial>> {
        let mut tried = Vec::new();
        for value in &knob.values {
            if *value == knob.get(&best) {
                continue;
            }
            let knobs = knob.set(best, *value);
            let (gains, outcome, _) = self.compare(knobs, best).await?;
            let trial = Trial {
                knob: Some(knob.name.to_owned()),
                value: *value,
                knobs,
                outcome,
                gains,
                score: gains.score(self.plan.goal),
                is_taken: false,
            };
            (self.watch)(&trial);
            tried.push(trial);
        }
        Ok(tried)
    }

    /// Runs two in turn, and says how the first stands to the second.
    async fn compare(&self, one: Knobs, other: Knobs) -> Result<(Gains, Outcome, Outcome)> {
        let mut gains = Vec::new();
        let mut last = (Outcome::default(), Outcome::default());
        for pair in 0..self.plan.pairs.max(1) {
            // Whoever comes second finds another disk.
            last = if pair % 2 == 0 {
                let first = self.once(one).await?;
                (first, self.once(other).await?)
            } else {
                let second = self.once(other).await?;
                (self.once(one).await?, second)
            };
            gains.push(Gains::of(&last.0, &last.1));
        }
        Ok((Gains::median(&gains), last.0, last.1))
    }

    async fn once(&self, knobs: Knobs) -> Result<Outcome> {
        let dir = fresh(&self.plan.dir)?;
        (self.run)(dir.path().join("data"), knobs).await
    }

    async fn exhaust(
        &self,
        start: Knobs,
        knobs: &[Knob],
        recommended: Knobs,
    ) -> Result<Exhaustive> {
        let mut all = vec![start];
        for knob in knobs {
            let turned = |knobs: &Knobs| {
                let knobs = *knobs;
                knob.values.iter().map(move |value| knob.set(knobs, *value))
            };
            all = all.iter().flat_map(turned).collect();
            if all.len() > COMBINATIONS_MAX {
                let text = "over 1,000 combinations: name fewer options for an exhaustive search";
                return Err(Error::Spec(text.to_owned()));
            }
        }
        let mut trials = Vec::new();
        for knobs in all {
            let (gains, outcome, _) = self.compare(knobs, start).await?;
            let trial = Trial {
                knob: None,
                value: 0,
                knobs,
                outcome,
                gains,
                score: gains.score(self.plan.goal),
                is_taken: knobs == recommended,
            };
            (self.watch)(&trial);
            trials.push(trial);
        }
        let best = trials.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        let best = best.map_or(start, |trial| trial.knobs);
        let (gains, ..) = self.compare(recommended, best).await?;
        Ok(Exhaustive {
            trials,
            best,
            recommended_to_best: gains.score(self.plan.goal),
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where stores are made, which is none of theirs"
)]
fn fresh(dir: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(dir)?;
    Ok(tempfile::Builder::new().prefix("tune-").tempdir_in(dir)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that is fastest with four shards and small blocks, and needs more disk for them.
    fn imagined(knobs: Knobs) -> Outcome {
        let shards = f64::from(knobs.shards.unwrap_or(2));
        let blocks = f64::from(u32::try_from(knobs.options().block_bytes).unwrap()) / 16_384.0;
        let call = crate::CallFigures {
            per_second: 1_000.0 / (1.0 + (shards - 4.0).abs()) / blocks.sqrt(),
            p99_us: 100,
            ..crate::CallFigures::default()
        };
        Outcome {
            calls: [("append".to_owned(), call)].into(),
            disk_per_body: 1.0 / blocks,
            peak_memory_bytes: 1 << 20,
            ..Outcome::default()
        }
    }

    #[tokio::test]
    async fn the_best_of_all_combinations_is_found_by_one_option_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan {
            goal: Goal::Throughput,
            knobs: vec!["shards".to_owned(), "block_bytes".to_owned()],
            pairs: 1,
            is_exhaustive: true,
            ..Plan::on(dir.path())
        };
        let run = |_, knobs| async move { Ok(imagined(knobs)) };
        let tuned = tune(&Spec::default(), &plan, run, &|_| {}).await.unwrap();
        let wanted = Knobs {
            shards: Some(4),
            block_bytes: Some(16 << 10),
            ..Knobs::default()
        };
        assert_eq!(tuned.recommended, wanted);
        let exhaustive = tuned.exhaustive.unwrap();
        assert_eq!(exhaustive.best, wanted);
        assert_eq!(exhaustive.trials.len(), 12);
        assert!((exhaustive.recommended_to_best - 1.0).abs() < 1e-9);
        // The disk pulls the other way.
        let plan = Plan {
            goal: Goal::Disk,
            is_exhaustive: false,
            ..plan
        };
        let tuned = tune(&Spec::default(), &plan, run, &|_| {}).await.unwrap();
        assert_eq!(tuned.recommended.block_bytes, Some(64 << 10));
        assert_eq!(tuned.recommended.shards, None);
    }

    #[tokio::test]
    async fn an_unknown_option_is_named() {
        let plan = Plan {
            knobs: vec!["wings".to_owned()],
            ..Plan::on("/nowhere")
        };
        let run = |_, _| async { unreachable!() };
        let error = tune(&Spec::default(), &plan, run, &|_| {})
            .await
            .unwrap_err();
        assert!(error.to_string().contains("wings") && error.to_string().contains("shards"));
    }
}
