//! The built program on a store of its own, and what it acknowledged.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::host::{Host, Permitted, binary};

pub(crate) const KEY: &str = "test#chat";
/// 2024-01-01T00:00:00Z.
const START: u64 = 1_704_067_200_000;

/// A data directory, its inputs, and the program.
pub(crate) struct Program {
    binary: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Program {
    /// A store with an app that keeps everything.
    pub(crate) fn with_app(host: &Host, name: &str) -> Permitted<Self> {
        let dir = host.path(name);
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let program = Self {
            binary: binary()?,
            dir,
        };
        let plan = ["--plan", "enterprise", "--retention", "10000"];
        let args = [&["app", "create", KEY][..], &plan].concat();
        assert_eq!(program.run(&[], &args).status.code(), Some(0));
        Ok(program)
    }

    /// The same store once more, from where it stands now.
    pub(crate) fn copy(&self, name: &str) -> Self {
        let dir = self.dir.with_file_name(name);
        let _ = std::fs::remove_dir_all(&dir);
        let mut copy = Command::new("cp");
        crate::host::run(copy.arg("-a").arg(&self.dir).arg(&dir)).unwrap();
        Self {
            binary: self.binary.clone(),
            dir,
        }
    }

    /// The command, behind a program that runs it.
    pub(crate) fn command(&self, by: &[&str], args: &[&str]) -> Command {
        let mut words = by.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        let data = self.dir.join("data");
        command.arg("--data").arg(data).arg("--json").args(args);
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, by: &[&str], args: &[&str]) -> Output {
        // Whatever is done to it, it must come to an end.
        let by = [&["timeout", "-s", "KILL", "100"], by].concat();
        self.command(&by, args).output().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Writes an input of so many lines.
    pub(crate) fn write_lines(&self, name: &str, numbers: std::ops::Range<u64>) {
        let mut text = String::new();
        for n in numbers {
            let _ = writeln!(
                text,
                r#"{{"chat":"group:g{}","from":"u{}","ts":{},"body":"{n} {}"}}"#,
                n % 7,
                n % 11,
                START + n * 50_000,
                "abcdefgh".repeat(usize::try_from(n % 9).unwrap())
            );
        }
        std::fs::write(self.dir.join(name), text).unwrap();
    }

    /// All that is stored, by id: the number that begins the body, and the seq.
    pub(crate) fn stored(&self) -> HashMap<u64, (u64, u64)> {
        let output = self.run(&[], &["export", KEY]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let value: Value = serde_json::from_slice(line).unwrap();
                let body = value["body"].as_str().unwrap();
                let number = body.split(' ').next().unwrap().parse().unwrap();
                let id = value["msg_id"].as_u64().unwrap();
                (id, (number, value["seq"].as_u64().unwrap()))
            })
            .collect()
    }

    /// What an import said to be safe: line, id, seq. Its last line may be cut.
    pub(crate) fn acknowledged(&self, name: &str) -> Vec<(u64, u64, u64)> {
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let numbers = |line: &str| {
            let mut words = line.split(' ').map(|word| word.parse::<u64>().unwrap());
            (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            )
        };
        whole.lines().map(numbers).collect()
    }

    /// Whether everything that was acknowledged is there; `first` is the number of the file's first line.
    pub(crate) fn check(&self, acks: &str, first: u64, what: &str) -> usize {
        self.check_in(&self.stored(), acks, first, what)
    }

    /// As [`check`](Self::check), among what was found stored.
    pub(crate) fn check_in(
        &self,
        stored: &HashMap<u64, (u64, u64)>,
        acks: &str,
        first: u64,
        what: &str,
    ) -> usize {
        let acknowledged = self.acknowledged(acks);
        for (line, id, seq) in &acknowledged {
            let found = stored.get(id);
            let number = first + line - 1;
            assert_eq!(found, Some(&(number, *seq)), "{what}: line {line}");
        }
        acknowledged.len()
    }

    pub(crate) fn verify(&self, what: &str) {
        let output = self.run(&[], &["verify"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{what}: {said}");
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
