//! Running the real program on generated chat.

#![allow(dead_code, missing_docs, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests play the operator, who has files of their own"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidestore_workload::{Line, Workload, WorkloadOptions, times};

pub(crate) const DAY: u64 = 86_400_000;
/// 2024-01-01T00:00:00Z.
pub(crate) const START: u64 = 1_704_067_200_000;
pub(crate) const KEY: &str = "test#chat";

/// A directory for a store and its inputs.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// An empty one.
    pub(crate) fn empty() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    /// One with an app that keeps everything since 1995 or so.
    pub(crate) fn with_app() -> Self {
        let place = Self::empty();
        let args = [
            "app",
            "create",
            KEY,
            "--plan",
            "enterprise",
            "--retention",
            "10000",
        ];
        assert_eq!(code(&place.run(&args)), 0);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidestore"));
        command
            .arg("--data")
            .arg(self.data())
            .args(args)
            .current_dir(self.dir.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed, and parses what it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--json"], args].concat());
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that must succeed, and parses the lines it prints.
    pub(crate) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        parse_lines(&output.stdout)
    }

    /// Runs a command that must fail, and returns its exit code and the kind of its error.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(&[&["--json"], args].concat());
        let error = stderr(&output);
        let last = error.lines().last().unwrap_or_default();
        let value: Value =
            serde_json::from_str(last).unwrap_or_else(|_| panic!("{args:?}: {error}"));
        (
            code(&output),
            value["error"]["kind"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Writes a file into the directory and returns its name.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        name.to_owned()
    }

    /// Every file below a part of the data directory.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.data().join(below), &mut found);
        found
    }
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn parse_lines(text: &[u8]) -> Vec<Value> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Generated chat as the lines that an import reads, sorted by time.
pub(crate) fn chat(count: usize) -> Vec<Value> {
    let options = WorkloadOptions {
        seed: 11,
        users: 200,
        groups: 8,
        directs: 30,
        rooms: 2,
        ..Default::default()
    };
    let mut workload = Workload::new(options);
    let mut line = Line::default();
    let times = times(11, START, START + 30 * DAY, count);
    let next = |ts| {
        workload.next_into(&mut line);
        let Line {
            conversation,
            sender,
            body,
            kind,
            ..
        } = &line;
        serde_json::json!({ "chat": conversation, "from": sender, "ts": ts, "kind": kind, "body": body })
    };
    times.into_iter().map(next).collect()
}

pub(crate) fn text(lines: &[Value]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.to_string(), "\n".to_owned()])
        .collect()
}

/// What an import must keep of a line, for comparing as sorted lists.
pub(crate) fn essence(line: &Value) -> (String, u64, String, String, String) {
    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let kind = line["kind"].as_str().unwrap_or("txt").to_owned();
    (
        field("chat"),
        line["ts"].as_u64().unwrap(),
        field("from"),
        kind,
        field("body"),
    )
}

pub(crate) fn sorted(lines: &[Value]) -> Vec<(String, u64, String, String, String)> {
    let mut all: Vec<_> = lines.iter().map(essence).collect();
    all.sort();
    all
}

/// Asserts that the conversations hold exactly these lines, oldest first, numbered from 1 without a gap.
pub(crate) fn assert_export_is(exported: &[Value], lines: &[Value]) {
    assert_eq!(exported.len(), lines.len());
    assert_eq!(sorted(exported), sorted(lines));
    let mut last: Option<&Value> = None;
    for line in exported {
        let previous = last.filter(|last| last["chat"] == line["chat"]);
        assert_eq!(
            line["seq"].as_u64().unwrap(),
            previous.map_or(1, |p| p["seq"].as_u64().unwrap() + 1)
        );
        assert!(previous.is_none_or(|p| p["msg_id"].as_u64() < line["msg_id"].as_u64()));
        last = Some(line);
    }
}
