//! The queue and the life of a command under a scheduler: callers, the store's own threads, a committer that works, is held
//! back, is closed or dies. See `tests/concurrency/README.md`.

use shuttle::future::block_on;
use tidestore_disk::sync::atomic::{AtomicUsize, Ordering};
use tidestore_disk::sync::{explore, thread};
use tokio::sync::oneshot;

use super::*;

/// Who sent it, which of his commands it is, and where the answer goes.
struct Command {
    caller: usize,
    number: usize,
    reply: oneshot::Sender<(usize, usize)>,
}

/// How a command ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// The queue took no more.
    Refused,
    /// The queue took it, and let it go unanswered.
    LetGo,
}

impl Weigh for Command {
    fn bytes(&self) -> usize {
        1 << 10
    }
}

const DEPTH: usize = 2;
/// Room for as many commands as there are places: both bounds hold callers back.
const BYTES: usize = DEPTH << 10;
const OWN: usize = 99;

/// What all threads see.
struct World {
    queue: Queue<Command>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::new(DEPTH, BYTES),
        })
    }

    /// Sends commands one after the other and waits for each.
    fn caller(self: &Arc<Self>, caller: usize, commands: usize) -> thread::JoinHandle<Vec<End>> {
        let world = Arc::clone(self);
        let work = move || (0..commands).map(|n| world.call(caller, n)).collect();
        thread::spawn(format!("caller {caller}"), work).unwrap()
    }

    fn call(&self, caller: usize, number: usize) -> End {
        let (reply, answer) = oneshot::channel();
        let command = Command {
            caller,
            number,
            reply,
        };
        let pushed = if caller == OWN {
            self.queue.push_own(command)
        } else {
            block_on(self.queue.push(command))
        };
        if pushed.is_err() {
            return End::Refused;
        }
        match block_on(answer) {
            Ok(answer) => {
                assert_eq!(answer, (caller, number), "somebody else's answer");
                End::Answered
            }
            Err(_) => End::LetGo,
        }
    }

    /// Answers what was drained, and checks that each caller's commands come in order.
    fn process(&self, drained: Drained<Command>, last: &mut [Option<usize>; OWN + 1]) {
        let Drained { commands, permits } = drained;
        assert!(permits.len() <= DEPTH, "more callers inside than allowed");
        assert!(self.queue.state.lock().callers.len() + permits.len() <= DEPTH);
        let mut callers_began = false;
        for command in commands {
            callers_began |= command.caller != OWN;
            assert!(
                command.caller != OWN || !callers_began,
                "own commands pass the others"
            );
            let before = last[command.caller].replace(command.number);
            assert!(before < Some(command.number), "out of order");
            let _ = command.reply.send((command.caller, command.number));
        }
    }
}

fn committer(
    world: &Arc<World>,
    work: impl FnOnce(&World) + Send + 'static,
) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn("committer".to_owned(), move || work(&world)).unwrap()
}

/// The committer's loop until the queue is closed and empty.
fn work_to_the_end(world: &World) {
    let mut last = [None; OWN + 1];
    while let Some(drained) = world.queue.drain(1, false, None) {
        assert!(
            !drained.commands.is_empty(),
            "woken for nothing without patience"
        );
        world.process(drained, &mut last);
    }
}

#[test]
fn every_command_is_answered_once_and_in_order() {
    explore(4_000, || {
        let world = World::new();
        let committer = committer(&world, work_to_the_end);
        let callers = [world.caller(0, 2), world.caller(1, 2), world.caller(2, 1)];
        let own = world.caller(OWN, 2);
        for caller in callers.into_iter().chain([own]) {
            let ends = caller.join().unwrap();
            assert!(ends.iter().all(|end| *end == End::Answered), "{ends:?}");
        }
        world.queue.close();
        committer.join().unwrap();
    });
}

/// Closing lets nobody in any more, and everybody who was in is answered; nobody is let go and nobody waits for ever.
#[test]
fn closing_answers_all_who_are_in_and_refuses_all_who_come() {
    explore(4_000, || {
        let world = World::new();
        let committer = committer(&world, work_to_the_end);
        let callers = [world.caller(0, 2), world.caller(1, 2), world.caller(OWN, 2)];
        world.queue.close();
        committer.join().unwrap();
        world.queue.abandon();
        for caller in callers {
            let ends = caller.join().unwrap();
            let refused = ends.iter().position(|end| *end == End::Refused);
            let open = ends.split_at(refused.unwrap_or(ends.len()));
            assert!(open.0.iter().all(|end| *end == End::Answered), "{ends:?}");
            assert!(open.1.iter().all(|end| *end == End::Refused), "{ends:?}");
        }
    });
}

/// What a committer leaves behind that panics or whose thread ends: see `Lifeline`.
#[test]
fn nobody_waits_for_a_committer_that_is_gone() {
    explore(4_000, || {
        let world = World::new();
        let committer = committer(&world, |world| {
            let mut last = [None; OWN + 1];
            for _ in 0..2 {
                if let Some(drained) = world.queue.drain(1, false, Some(Duration::ZERO)) {
                    world.process(drained, &mut last);
                }
            }
            world.queue.abandon();
        });
        let callers = [
            world.caller(0, 2),
            world.caller(1, 2),
            world.caller(2, 2),
            world.caller(OWN, 2),
        ];
        committer.join().unwrap();
        for caller in callers {
            let ends = caller.join().unwrap();
            let gone = ends.iter().position(|end| *end != End::Answered);
            let later = ends.split_at(gone.unwrap_or(ends.len())).1;
            assert!(
                later.iter().skip(1).all(|end| *end == End::Refused),
                "{ends:?}"
            );
        }
    });
}

/// Memory is full: callers are held back until a flush that another thread does has been installed, which it asks for
/// through the same queue.
#[test]
fn callers_that_are_held_back_go_on_after_the_flush_or_once_the_store_closes() {
    for closes in [false, true] {
        explore(3_000, move || {
            let world = World::new();
            let full = Arc::new(AtomicUsize::new(1));
            let committer = {
                let full = Arc::clone(&full);
                committer(&world, move |world| {
                    let mut last = [None; OWN + 1];
                    loop {
                        let own_only = full.load(Ordering::SeqCst) == 1;
                        let Some(drained) = world.queue.drain(9, own_only, None) else {
                            break;
                        };
                        if drained.commands.iter().any(|c| c.caller == OWN) {
                            full.store(0, Ordering::SeqCst);
                        }
                        world.process(drained, &mut last);
                    }
                })
            };
            let callers = [world.caller(0, 1), world.caller(1, 1), world.caller(2, 1)];
            let flusher = {
                let world = Arc::clone(&world);
                let work = move || {
                    if closes {
                        world.queue.close();
                    } else {
                        assert_eq!(world.call(OWN, 0), End::Answered);
                    }
                };
                thread::spawn("flusher".to_owned(), work).unwrap()
            };
            flusher.join().unwrap();
            for caller in callers {
                let ends = caller.join().unwrap();
                assert!(closes || ends == [End::Answered], "{ends:?}");
                assert!(!ends.contains(&End::LetGo), "{ends:?}");
            }
            world.queue.close();
            committer.join().unwrap();
        });
    }
}

/// A flush that failed is said by a nudge alone: the committer must look again and refuse, not sleep on.
#[test]
fn a_nudge_is_never_missed() {
    explore(4_000, || {
        let world = World::new();
        let stuck = Arc::new(AtomicUsize::new(0));
        let committer = {
            let stuck = Arc::clone(&stuck);
            committer(&world, move |world| {
                let mut last = [None; OWN + 1];
                loop {
                    let own_only = stuck.load(Ordering::SeqCst) == 0;
                    let Some(drained) = world.queue.drain(9, own_only, None) else {
                        break;
                    };
                    world.process(drained, &mut last);
                }
            })
        };
        let callers = [world.caller(0, 2), world.caller(1, 1)];
        stuck.store(1, Ordering::SeqCst);
        world.queue.nudge();
        for caller in callers {
            let ends = caller.join().unwrap();
            assert!(ends.iter().all(|end| *end == End::Answered), "{ends:?}");
        }
        world.queue.close();
        committer.join().unwrap();
    });
}
