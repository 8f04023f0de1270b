//! Killing a process in the middle of its work, and hearing what it said before.
//!
//! A test starts itself as the process to be killed: the child finds its task in an environment variable.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Says a line on standard output. One write, so that a kill cuts at most the last line.
///
/// # Panics
///
/// If nobody listens any more.
#[expect(clippy::expect_used, reason = "ends the child")]
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .expect("the parent listens");
}

/// Starts the test `name` of this binary with a task in a variable, lets it live for a moment from the first line on that
/// `is_word` takes for one of its own, kills it, and answers all lines that it said.
///
/// # Panics
///
/// If it cannot be started, or says nothing for a minute.
#[expect(clippy::expect_used, reason = "fails the test")]
pub fn run_and_kill(
    name: &str,
    variable: &str,
    task: &str,
    is_word: impl Fn(&str) -> bool,
    moment: Duration,
) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", name, "--nocapture"])
        .env(variable, task)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let (lines, heard) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| is_word(line)) {
        let line = heard.recv_timeout(Duration::from_mins(1));
        said.push(line.expect("a line within a minute"));
    }
    // A pause that is no sleep: nothing is waited for but the time.
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(moment).is_err());
    child.kill().expect("a process to kill");
    child.wait().expect("its end");
    reader.join().expect("its last words");
    said.extend(heard.try_iter());
    said
}
