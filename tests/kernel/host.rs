//! What the tests take from the machine, and give back: filesystems in images, mounts, programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time has the machine.
static MACHINE: Mutex<()> = Mutex::new(());

/// Directories of the tests are named after this and the process, so that a later run knows what was left behind.
const PREFIX: &str = "tidestore-kernel-";

/// Ends a test that the machine does not permit.
macro_rules! need {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        }
    };
}
pub(crate) use need;

/// What a test may do, or why it may not.
pub(crate) type Permitted<T> = Result<T, String>;

/// The right to use the machine: held for the length of a test.
pub(crate) struct Host {
    _turn: MutexGuard<'static, ()>,
    dir: PathBuf,
}

impl Host {
    /// Takes the machine if these programs are there and we are root.
    pub(crate) fn take(programs: &[&str]) -> Permitted<Self> {
        let turn = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        for program in programs {
            find_program(program)?;
        }
        sweep();
        let name = format!("{PREFIX}{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).map_err(|error| format!("no directory: {error}"))?;
        Ok(Self { _turn: turn, dir })
    }

    /// A path for this test's use.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Mounts a filesystem in memory.
    pub(crate) fn tmpfs(&self, name: &str, options: &str) -> Permitted<Mount> {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let args = ["-t", "tmpfs", "-o", options, "none"];
        Mount::make(dir, None, args.map(str::to_owned).to_vec())
    }

    /// Makes an ext4 filesystem of so many MiB in a file, and mounts it.
    pub(crate) fn ext4(
        &self,
        image: &Path,
        mib: u64,
        format: &[&str],
        options: &str,
    ) -> Permitted<Mount> {
        let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        drop(file);
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-b", "4096"])
            .args(format)
            .arg(image);
        run(&mut make)?;
        let dir = self.path("mounted");
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let options = format!("loop,{options}");
        let args = vec!["-t".to_owned(), "ext4".to_owned(), "-o".to_owned(), options];
        Mount::make(dir, Some(image.to_owned()), args)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Mounts went before; whatever is left is ours.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A mounted filesystem; unmounted when dropped.
pub(crate) struct Mount {
    dir: PathBuf,
    image: Option<PathBuf>,
    args: Vec<String>,
}

impl Mount {
    fn make(dir: PathBuf, image: Option<PathBuf>, args: Vec<String>) -> Permitted<Self> {
        let mount = Self { dir, image, args };
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> Permitted<()> {
        let mut mount = Command::new("mount");
        run(mount.args(&self.args).args(&self.image).arg(&self.dir))
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Unmounts, which drops everything that the kernel has in its caches, and mounts again, which replays the journal.
    pub(crate) fn again(&self) {
        unmount(&self.dir).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if unmount(&self.dir).is_err() {
            // Gone for everybody; the kernel finishes when the last file is closed.
            let _ = run(Command::new("umount").arg("-l").arg(&self.dir));
        }
    }
}

fn unmount(dir: &Path) -> Permitted<()> {
    let mut last = Ok(());
    // Threads of a store that was just dropped may still be on their way out.
    for _ in 0..50 {
        last = run(Command::new("umount").arg(dir));
        if last.is_ok() {
            break;
        }
        pause(Duration::from_millis(100));
    }
    last
}

/// Takes back what killed runs have left: their process is gone, their mounts are not.
fn sweep() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let dirs = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for dir in dirs.filter(|dir| is_left_behind(dir)) {
        let _ = run(Command::new("umount").arg("-l").arg(dir));
    }
    for entry in std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        if is_left_behind(&entry.path().to_string_lossy()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a path belongs to a run whose process has ended.
fn is_left_behind(path: &str) -> bool {
    let Some((_, rest)) = path.split_once(PREFIX) else {
        return false;
    };
    let pid: String = rest.chars().take_while(char::is_ascii_digit).collect();
    !pid.is_empty() && !Path::new("/proc").join(pid).exists()
}

/// Looks for a program.
pub(crate) fn find_program(name: &str) -> Permitted<()> {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {name}")])
        .stdout(Stdio::null())
        .status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("no program {name}")),
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> Permitted<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", said.trim()))
}

/// Fills a filesystem to the last byte, in a file that can be removed again.
pub(crate) fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for len in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
        let zeros = vec![0; len];
        while file.write(&zeros).is_ok_and(|written| written > 0) {}
    }
    // The space is taken for certain, not only promised.
    let _ = file.sync_all();
}

/// Lets time pass. No sleep: there is nothing that would notify.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(time).is_err());
}

/// How often the tests repeat what is left to chance: `TIDESTORE_KERNEL_ROUNDS`.
pub(crate) fn rounds(default: u64) -> u64 {
    let asked = std::env::var("TIDESTORE_KERNEL_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The built program.
pub(crate) fn binary() -> Permitted<PathBuf> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let dir = me.parent().and_then(Path::parent);
    let found = dir.map(|dir| dir.join("tidestore"));
    match found.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => Err("the program tidestore is not built".to_owned()),
    }
}
