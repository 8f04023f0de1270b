//! `blob get KEY ID [-o FILE] [--range A-B]`.

use std::fs::{File, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;
use tidestore::plan::{AppKey, AttachmentId};
use tidestore::{Download, Store};

use crate::args::{app_key, attachment_id};
use crate::error::Failure;
use crate::output::{Output, count};

/// Write an attachment to standard output or into a file
///
/// A file appears whole or not at all.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The attachment's id
    #[arg(value_parser = attachment_id)]
    id: AttachmentId,
    /// Where to write it; a file that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only these bytes, the first is 0 and the last one included; A- goes to the end
    #[arg(long, value_name = "A-B", value_parser = range)]
    range: Option<Range>,
}

/// Bytes of an attachment: from the first to the first behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
}

impl Get {
    /// Refuses what cannot be written in any case.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.output {
            Some(path) if path.is_dir() => Err(Failure::Argument(format!(
                "{} is a directory, not a file",
                path.display()
            ))),
            None if io::stdout().is_terminal() => {
                let text = "an attachment may hold anything, which is not for a terminal; \
                            name a file with -o, or a pipe";
                Err(Failure::Argument(text.to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn run(&self, store: &Store, output: Output) -> Result<(), Failure> {
        let app = store.app(&self.key)?;
        let mut download = match self.range {
            Some(Range { start, end }) => app.open_attachment_range(self.id, start..end).await?,
            None => app.open_attachment(self.id).await?,
        };
        let Some(path) = &self.output else {
            let mut stdout = io::stdout().lock();
            copy(&mut download, &mut stdout, Failure::stdout).await?;
            return stdout.flush().map_err(Failure::stdout);
        };
        let bytes = download.remaining();
        into_file(&mut download, path).await?;
        let text = || format!("{} bytes are in {}", count(bytes), path.display());
        let stored = download.attachment();
        if output.is_json() {
            output.show(text, || super::value(stored))
        } else {
            output.note(&text());
            Ok(())
        }
    }
}

/// Hands on every byte of a download.
async fn copy(
    download: &mut Download,
    to: &mut impl Write,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    while let Some(piece) = download.next().await? {
        to.write_all(&piece).map_err(&failed)?;
    }
    Ok(())
}

async fn into_file(download: &mut Download, path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("{} cannot be written", path.display()), error);
    // Behind a link lies what is meant.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A device or a pipe is written to, not replaced.
    if path.exists() && !path.is_file() {
        let mut file = open_special(&path).map_err(failed)?;
        return copy(download, &mut file, failed).await;
    }
    let mut beside = beside(&path).map_err(failed)?;
    copy(download, &mut beside, failed).await?;
    let kept = beside.persist(&path);
    kept.map(drop).map_err(|error| failed(error.error))
}

/// A file with another name in the same directory, which is gone unless it is given the name that is meant.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".tidestore-")
        // As for any new file: what the caller's mask leaves of it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the operator names this device or pipe; it is no part of the store"
)]
fn open_special(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// Parses `A-B` or `A-`.
fn range(text: &str) -> Result<Range, String> {
    let wrong = || {
        let text: String = text.chars().take(40).collect();
        format!(
            "{text:?} is no range of bytes; write 0-99 for the first hundred, or 100- for the rest"
        )
    };
    let number = |text: &str| -> Option<u64> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let start = number(first).ok_or_else(wrong)?;
    let end = match last {
        "" => u64::MAX,
        last => number(last).ok_or_else(wrong)?.saturating_add(1),
    };
    if start < end {
        Ok(Range { start, end })
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_its_first_and_its_last_byte() {
        for (text, start, end) in [
            ("0-99", 0, 100),
            ("5-5", 5, 6),
            ("7-", 7, u64::MAX),
            ("0-18446744073709551615", 0, u64::MAX),
        ] {
            assert_eq!(range(text), Ok(Range { start, end }), "{text}");
        }
        for text in ["", "-", "-5", "5", "6-5", "a-b", "0-+5", "0--5", "1 - 2"] {
            assert!(range(text).is_err(), "{text:?}");
        }
    }
}
