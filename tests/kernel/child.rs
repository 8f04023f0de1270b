//! The process with the store under test, and what it says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::work;

/// The variable that holds the task of a child.
const TASK: &str = "TIDESTORE_KERNEL_TASK";

/// Not a test: the entry of the process under test.
#[test]
fn process_under_test() {
    if let Ok(task) = std::env::var(TASK) {
        work::run(&task);
    }
}

/// A running process under test. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    heard: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Process {
    /// Starts this test binary again with a task.
    pub(crate) fn start(task: &str) -> Self {
        Self::start_with(Command::new(std::env::current_exe().unwrap()), task)
    }

    /// As [`start`](Self::start), through a command that runs what follows it.
    pub(crate) fn start_by(program: &str, args: &[&str], task: &str) -> Self {
        let mut command = Command::new(program);
        command.args(args).arg(std::env::current_exe().unwrap());
        Self::start_with(command, task)
    }

    fn start_with(mut command: Command, task: &str) -> Self {
        let mut child = command
            .args(["--exact", "child::process_under_test", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (lines, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            heard,
            said: Vec::new(),
        }
    }

    /// Listens until the process has said a line that fits, and returns it.
    pub(crate) fn until(&mut self, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.heard.recv_timeout(Duration::from_mins(2));
            let line = line
                .unwrap_or_else(|error| panic!("{error}; the last words: {:?}", self.said.last()));
            self.said.push(line.clone());
            if fits(&line) {
                return line;
            }
        }
    }

    /// Waits until it ends by itself; says what it said, and whether it ended well.
    pub(crate) fn ended(mut self) -> (Vec<String>, bool) {
        self.said.extend(self.heard.iter());
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.said), status.success())
    }

    /// Kills it and returns all that it said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Ends with the pipe.
        self.said.extend(self.heard.iter());
        std::mem::take(&mut self.said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
