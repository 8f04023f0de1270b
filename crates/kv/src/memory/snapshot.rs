//! The snapshot file: to bytes and back. The format is described in `docs/format/memory-snapshot.md`.

use std::path::Path;

use tidestore_disk::{self as disk, Disk, FileExt, OpenMode};

use super::Map;
use crate::{Error, ErrorKind, KEY_BYTES_MAX, Result, Table, VALUE_BYTES_MAX};

const MAGIC: [u8; 8] = *b"TIDEKVMS";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 40;
const ENTRY_HEADER_BYTES: usize = 7;

/// The longest body, 1 GiB: the engine is made for simulation, and a length from the disk must
/// not allocate the machine away.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// Writes the map as the bytes of a snapshot file. `path` names the file in errors.
pub(super) fn encode(map: &Map, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    for ((table, key), value) in map {
        let entry = ENTRY_HEADER_BYTES + key.len() + value.len();
        if (bytes.len() - HEADER_BYTES + entry) as u64 > BODY_BYTES_MAX {
            let context = format!(
                "file {}: the tables outgrow {BODY_BYTES_MAX} bytes",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, context));
        }
        bytes.push(table.0);
        bytes.extend_from_slice(&width::<u16>(key.len(), path)?.to_le_bytes());
        bytes.extend_from_slice(&width::<u32>(value.len(), path)?.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    let (header, body) = bytes.split_at_mut(HEADER_BYTES);
    header.copy_from_slice(&encode_header(map.len() as u64, body));
    Ok(bytes)
}

fn encode_header(entries: u64, body: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(&MAGIC);
    header[8] = VERSION;
    header[16..24].copy_from_slice(&entries.to_le_bytes());
    header[24..32].copy_from_slice(&(body.len() as u64).to_le_bytes());
    header[32..36].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let checksum = crc32fast::hash(&header[..36]);
    header[36..40].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn width<T: TryFrom<usize>>(len: usize, path: &Path) -> Result<T> {
    T::try_from(len).map_err(|_| {
        let context = format!("file {}: a length of {len} bytes", path.display());
        Error::new(ErrorKind::Unsupported, context)
    })
}

/// Reads a snapshot file; `None` if there is none.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Map>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == disk::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let len = file.len()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0, path)?;
    let header = Header::decode(&header, len, path)?;
    let mut body = vec![0; header.body_bytes];
    file.read_exact_at(&mut body, HEADER_BYTES as u64, path)?;
    let checksum = crc32fast::hash(&body);
    if checksum != header.body_checksum {
        let detail = format!(
            "checksum of the body {checksum:08x}, expected {:08x}",
            header.body_checksum
        );
        return Err(disk::Error::corruption(path, HEADER_BYTES as u64, detail).into());
    }
    decode_body(&body, header.entries, path).map(Some)
}

struct Header {
    entries: u64,
    body_bytes: usize,
    body_checksum: u32,
}

impl Header {
    fn decode(bytes: &[u8; HEADER_BYTES], file_len: u64, path: &Path) -> Result<Self> {
        let damaged = |offset, detail: String| disk::Error::corruption(path, offset, detail);
        let mut fields = Reader {
            rest: bytes.as_slice(),
            offset: 0,
            path,
        };
        let magic: [u8; 8] = fields.array()?;
        let [version] = fields.array()?;
        let padding: [u8; 7] = fields.array()?;
        let entries = u64::from_le_bytes(fields.array()?);
        let body_len = u64::from_le_bytes(fields.array()?);
        let body_checksum = u32::from_le_bytes(fields.array()?);
        let expected = u32::from_le_bytes(fields.array()?);
        let found = crc32fast::hash(&bytes[..36]);
        if magic != MAGIC {
            return Err(damaged(0, "this is not a snapshot of the memory engine".into()).into());
        }
        if found != expected {
            let detail = format!("checksum of the header {found:08x}, expected {expected:08x}");
            return Err(damaged(0, detail).into());
        }
        if version != VERSION || padding != [0; 7] {
            let context = format!("file {}: version {version}, known is 1", path.display());
            return Err(Error::new(ErrorKind::Unsupported, context));
        }
        let expected = file_len.saturating_sub(HEADER_BYTES as u64);
        if body_len != expected || body_len > BODY_BYTES_MAX {
            let detail = format!(
                "a body of {body_len} bytes in a file that has {expected}, \
                 at most {BODY_BYTES_MAX}"
            );
            return Err(damaged(24, detail).into());
        }
        Ok(Self {
            entries,
            body_bytes: width_of(body_len, path)?,
            body_checksum,
        })
    }
}

fn width_of(len: u64, path: &Path) -> Result<usize> {
    usize::try_from(len).map_err(|_| {
        let context = format!("file {}: {len} bytes on this machine", path.display());
        Error::new(ErrorKind::Unsupported, context)
    })
}

fn decode_body(body: &[u8], entries: u64, path: &Path) -> Result<Map> {
    let mut reader = Reader {
        rest: body,
        offset: HEADER_BYTES as u64,
        path,
    };
    let mut map = Map::new();
    while !reader.rest.is_empty() {
        let start = reader.offset;
        let [table] = reader.array()?;
        let key_len = usize::from(u16::from_le_bytes(reader.array()?));
        let value_len = width_of(u32::from_le_bytes(reader.array()?).into(), path)?;
        if key_len > KEY_BYTES_MAX || value_len > VALUE_BYTES_MAX {
            let detail = format!("key of {key_len} and value of {value_len} bytes");
            return Err(disk::Error::corruption(path, start, detail).into());
        }
        let key = reader.take(key_len)?.to_vec();
        let value = reader.take(value_len)?.to_vec();
        let place = (Table(table), key);
        if map.last_key_value().is_some_and(|(last, _)| *last >= place) {
            let detail = "an entry is not above the one before it";
            return Err(disk::Error::corruption(path, start, detail).into());
        }
        map.insert(place, value);
    }
    if map.len() as u64 != entries {
        let detail = format!("{} entries, the header says {entries}", map.len());
        return Err(disk::Error::corruption(path, 16, detail).into());
    }
    Ok(map)
}

/// Takes fields from the front of a buffer, and knows where in the file it is.
struct Reader<'a> {
    rest: &'a [u8],
    offset: u64,
    path: &'a Path,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            let detail = format!("a field of {len} bytes where {} are left", self.rest.len());
            return Err(disk::Error::corruption(self.path, self.offset, detail).into());
        };
        self.rest = rest;
        self.offset += len as u64;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

#[cfg(test)]
mod tests;
