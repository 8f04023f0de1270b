//! Runs a test under many schedules.

use std::path::PathBuf;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, FailurePersistence, Runner};

/// Frames of the whole store need more than the scheduler's 32 KiB. The pages of a stack that are not touched cost nothing.
const STACK_BYTES: usize = 1 << 20;
/// Of each so many schedules one is run twice, to see that the test does nothing that the scheduler does not decide: only
/// then can a failing schedule be run again.
const TWICE: usize = 50;
/// How often the scheduler with priorities sets a thread back: bugs that need few switches at the right places are found
/// best with few.
const PCT_DEPTH: usize = 3;

/// Runs a test under `schedules` random schedules, and under half as many with priorities.
///
/// Three variables of the environment change that: `SCHEDULES` multiplies the number in percent, `SCHEDULE_SEED` is the seed
/// (a number; 1 if it is not set), and `SCHEDULE_REPLAY` names the file of a schedule that failed, which is run alone.
/// Failing schedules are put into the directory that `SCHEDULE_DIR` names, or printed.
///
/// # Panics
///
/// As the test does; or if all its threads wait for each other, or if it is not determined by the schedule.
pub fn explore(schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    let test = std::sync::Arc::new(test);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let test = std::sync::Arc::clone(&test);
        Runner::new(scheduler, config()).run(move || test());
    };
    if let Ok(file) = std::env::var("SCHEDULE_REPLAY") {
        match shuttle::scheduler::ReplayScheduler::new_from_file(&file) {
            Ok(schedule) => return run(Box::new(schedule)),
            Err(error) => panic!("{file}: {error}"),
        }
    }
    let schedules = (schedules * number("SCHEDULES", 100) / 100).max(2);
    let seed = number("SCHEDULE_SEED", 1) as u64;
    println!("{schedules} schedules, and half as many with priorities, from seed {seed}");
    let twice = RandomScheduler::new_from_seed(seed, schedules.div_ceil(TWICE));
    run(Box::new(UncontrolledNondeterminismCheckScheduler::new(
        twice,
    )));
    run(Box::new(RandomScheduler::new_from_seed(seed, schedules)));
    run(Box::new(PctScheduler::new_from_seed(
        seed,
        PCT_DEPTH,
        schedules / 2,
    )));
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    let dir = std::env::var_os("SCHEDULE_DIR").map(PathBuf::from);
    config.failure_persistence = match dir {
        Some(dir) => FailurePersistence::File(Some(dir)),
        None => FailurePersistence::Print,
    };
    config
}

fn number(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}
