//! Reading from a file or standard input: lines, compressed or not, without ever holding more than one of them, or bytes
//! as they are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use indicatif::ProgressBar;
use tokio::io::{AsyncRead, ReadBuf};

use crate::error::Failure;

/// The first bytes of a zstd frame, and of a frame that decoders skip.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window a compressed input may ask for: 128 MB, what `zstd` itself writes without `--ultra --long`.
const WINDOW_LOG_MAX: u32 = 27;

/// What is to be read.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file that can be read again.
    File { file: File, name: PathBuf, len: u64 },
    /// Standard input or another pipe.
    Stream,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stream);
        }
        let file = open_file(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::NotFound {
                what: format!("there is no file {}", path.display()),
                help: "name a file that is there, or - for standard input".to_owned(),
            },
            _ => Failure::io(format!("{} cannot be opened", path.display()), error),
        })?;
        let metadata = file
            .metadata()
            .map_err(|error| Failure::io(path.display().to_string(), error))?;
        if metadata.is_dir() {
            return Err(Failure::Argument(format!(
                "{} is a directory, not a file",
                path.display()
            )));
        }
        Ok(Self::File {
            file,
            name: path.to_owned(),
            len: metadata.len(),
        })
    }

    /// Makes the source one that can be read twice: what comes through a pipe is kept in a file that has no name.
    pub(crate) fn keep(self) -> Result<Self, Failure> {
        let (mut from, name): (Box<dyn Read>, _) = match self {
            Self::File { file, name, len } => {
                if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                    return Ok(Self::File { file, name, len });
                }
                (Box::new(file), name)
            }
            Self::Stream => (
                Box::new(io::stdin().lock()),
                PathBuf::from("standard input"),
            ),
        };
        let kept = tempfile::tempfile()
            .and_then(|mut file| io::copy(&mut from, &mut file).map(|len| (file, len)));
        let (file, len) = kept
            .map_err(|error| Failure::io("the input cannot be kept in a temporary file", error))?;
        Ok(Self::File { file, name, len })
    }

    /// Bytes to read, where that is known beforehand.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File { len, .. } => Some(*len),
            Self::Stream => None,
        }
    }

    /// Bytes that reading will yield, where that is sure: neither a pipe nor a device says so.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match self {
            Self::File { file, len, .. } => {
                let metadata = file.metadata();
                metadata.is_ok_and(|file| file.is_file()).then_some(*len)
            }
            Self::Stream => None,
        }
    }

    /// The bytes as they are.
    pub(crate) fn bytes(self) -> Bytes {
        Bytes(match self {
            Self::File { file, .. } => Box::new(file),
            Self::Stream => Box::new(io::stdin().lock()),
        })
    }

    /// How the source is called in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { name, .. } => name.display().to_string(),
            Self::Stream => "standard input".to_owned(),
        }
    }

    /// Starts reading at the beginning; the bar counts bytes as they lie in the file.
    pub(crate) fn lines(&self, line_max: usize, bar: &ProgressBar) -> Result<Lines, Failure> {
        let failed = |error| Failure::io(format!("{} cannot be read", self.name()), error);
        let raw: Box<dyn Read> = match self {
            Self::File { file, .. } => {
                let mut file = file.try_clone().map_err(failed)?;
                // A pipe with a name cannot be wound back, and has not been read yet.
                drop(file.rewind());
                Box::new(file)
            }
            Self::Stream => Box::new(io::stdin().lock()),
        };
        let mut raw = BufReader::with_capacity(128 << 10, bar.wrap_read(raw));
        let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
        (&mut raw).take(4).read_to_end(&mut head).map_err(failed)?;
        let is_compressed = head == ZSTD_MAGIC;
        let whole = io::Cursor::new(head).chain(raw);
        let decoded: Box<dyn BufRead> = if is_compressed {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(failed)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(BufReader::with_capacity(128 << 10, decoder))
        } else {
            Box::new(whole)
        };
        Ok(Lines {
            input: decoded,
            name: self.name(),
            line_max,
            buffer: Vec::new(),
            number: 0,
        })
    }
}

/// The bytes of a source.
///
/// Reading blocks the thread, as reading lines does: the command has nothing else to do meanwhile, and the store works
/// on threads of its own.
pub(crate) struct Bytes(Box<dyn Read>);

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The lines of a source.
pub(crate) struct Lines {
    input: Box<dyn BufRead>,
    name: String,
    line_max: usize,
    buffer: Vec<u8>,
    number: u64,
}

/// One line of a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its bytes, without the line break.
    Text(&'a [u8]),
    /// It is longer than allowed, by its whole length in bytes; it was not kept.
    TooLong(u64),
}

impl Lines {
    /// The number of the line that was read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, Failure> {
        self.buffer.clear();
        let read = read_line(&mut self.input, &mut self.buffer, self.line_max);
        let len = read.map_err(|error| {
            let place = format!("{} cannot be read on after line {}", self.name, self.number);
            match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidData
                | io::ErrorKind::Other => Failure::Input(format!(
                    "{place}: the compressed data is cut short or damaged ({error})"
                )),
                _ => Failure::io(place, error),
            }
        })?;
        let Some(len) = len else { return Ok(None) };
        self.number += 1;
        if len > self.line_max as u64 {
            return Ok(Some(Line::TooLong(len)));
        }
        let mut line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        if self.number == 1 {
            // Some editors put a byte order mark before the first line.
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some(Line::Text(line)))
    }
}

/// Reads up to a line break and returns how long the line is; keeps at most `max` bytes of it. `None` at the end.
fn read_line(input: &mut dyn BufRead, buffer: &mut Vec<u8>, max: usize) -> io::Result<Option<u64>> {
    let mut len = 0_u64;
    let mut is_begun = false;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(is_begun.then_some(len));
        }
        is_begun = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available
            .get(..end.unwrap_or(available.len()))
            .unwrap_or_default();
        let room = max.saturating_sub(buffer.len()).min(part.len());
        buffer.extend_from_slice(part.get(..room).unwrap_or_default());
        len += part.len() as u64;
        let consumed = part.len() + usize::from(end.is_some());
        input.consume(consumed);
        if end.is_some() {
            return Ok(Some(len));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the operator names this file; it is no part of the store and may be a link or a pipe"
)]
fn open_file(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Largest file that is read as a whole: configurations are a few kilobytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Reads a small file of text.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let Source::File { file, .. } = Source::open(path)? else {
        return Err(Failure::Argument("name a file".to_owned()));
    };
    let mut text = String::new();
    let read = file.take(TEXT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::io(format!("{} cannot be read", path.display()), error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8], capacity: usize, max: usize) -> Vec<(u64, Vec<u8>)> {
        let mut input = BufReader::with_capacity(capacity, text);
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        while let Some(len) = read_line(&mut input, &mut buffer, max).unwrap() {
            found.push((len, std::mem::take(&mut buffer)));
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_the_input_is_cut() {
        for capacity in 1..9 {
            let found = lines(b"one\n\nthree\nrest", capacity, 64);
            let texts: Vec<_> = found.iter().map(|(_, text)| &text[..]).collect();
            assert_eq!(texts, [&b"one"[..], b"", b"three", b"rest"]);
        }
        assert!(lines(b"", 8, 64).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_measured_but_not_kept() {
        let found = lines(b"123456789\nshort\n", 4, 5);
        assert_eq!(found, [(9, b"12345".to_vec()), (5, b"short".to_vec())]);
    }
}
