//! Keys of rows: parts put together so that bytes sort as the parts do.

/// A key in the making. Numbers are big-endian, so that they sort by their value; a name that another part follows is ended
/// by a zero byte, which no name may hold.
///
/// ```
/// use tidestore_kv::Key;
///
/// let key = Key::starting_with(7).names("ann").number(5);
/// assert_eq!(key.bytes(), b"\0\0\0\x07ann\0\0\0\0\0\0\0\0\x05");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// Begins with a number of four bytes: what all rows of one owner have in common.
    pub fn starting_with(owner: u32) -> Self {
        let mut key = Vec::with_capacity(128);
        key.extend_from_slice(&owner.to_be_bytes());
        Self(key)
    }

    /// One byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// A number of eight bytes.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A name as the last part.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.raw(name.as_bytes())
    }

    /// A name that another part follows.
    #[must_use]
    pub fn names(self, name: &str) -> Self {
        self.name(name).byte(0)
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0
    }
}
