//! W7: a process that wrote is killed, and the next one opens.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::Task;
use crate::engines::{Mode, Names, Visit};
use crate::measure::{Figures, Meter};
use crate::peer::Peer;

const SIZES: [(usize, &str); 2] = [(500_000, "500,000"), (2_000_000, "2,000,000")];

const MODE: Mode = Mode {
    durable: false,
    history: false,
    keeps_days: 180,
    memtable: 32 << 20,
};

/// What the process does that is killed.
pub fn fill_and_wait(task: &Task, count: usize) {
    struct Fill<'a>(&'a crate::chat::Chat);
    impl Visit for Fill<'_> {
        type Out = ();

        fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) {
            for batch in self.0.messages.chunks(256) {
                peer.write(batch, false);
            }
            peer.sync();
            println!("filled");
            loop {
                std::thread::park();
            }
        }
    }
    let chat = task.chat(count);
    task.with(MODE, &chat, Fill(&chat));
}

struct First;

impl Visit for First {
    type Out = ();

    fn visit<P: Peer + 'static>(self, peer: Arc<P>, _: &Names) {
        assert!(peer.page(0, None, 20).count > 0);
        // Closing is not part of it.
        std::mem::forget(peer);
    }
}

pub fn run(task: &Task) -> Figures {
    let mut figures = Figures::default();
    for (count, words) in SIZES {
        let dir = task.dir.join(words);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["fill", "--engine", task.engine, "--scale"])
            .arg(task.scale.to_string())
            .arg("--count")
            .arg(count.to_string())
            .arg("--dir")
            .arg(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "filled");
        child.kill().unwrap();
        child.wait().unwrap();
        let task = Task { dir: &dir, ..*task };
        // Names only: their numbers are the same as in the process that was killed.
        let chat = task.chat(count);
        let meter = Meter::start();
        task.with(MODE, &chat, First);
        figures.less(
            &format!("{} messages, until the first page", chat.messages.len()),
            meter.seconds() * 1e3,
            "ms",
        );
    }
    figures
}
