//! Whole reads and writes over files that may answer short.

use std::path::Path;

use crate::{Error, ErrorKind, File, Result};

/// Loops over short reads and writes. Blanket-implemented for every [`File`].
pub trait FileExt: File {
    /// Fills the whole buffer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corruption`] if the file ends before the buffer is full: every caller reads
    /// what it knows to be there. `path` names the file in that error.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64, path: &Path) -> Result<()> {
        while !buf.is_empty() {
            let read = self.read_at(buf, offset)?;
            if read == 0 {
                let detail = format!("the file ends {} bytes too early", buf.len());
                return Err(Error::corruption(path, offset, detail));
            }
            buf = buf.get_mut(read..).unwrap_or_default();
            offset += read as u64;
        }
        Ok(())
    }

    /// Writes the whole buffer.
    ///
    /// # Errors
    ///
    /// What the disk reports; some of the bytes may have been written. A write of zero bytes is an
    /// error, not a reason to spin.
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64, path: &Path) -> Result<()> {
        while !buf.is_empty() {
            let written = self.write_at(buf, offset)?;
            if written == 0 {
                let error = Error::new(ErrorKind::Io, "write", path);
                return Err(error.with_detail("the device accepted no bytes"));
            }
            buf = buf.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }
}

impl<T: File + ?Sized> FileExt for T {}
