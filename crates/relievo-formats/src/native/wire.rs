//! Little-endian reading with every length checked.

use bytemuck::{Pod, Zeroable};

/// Why a private artefact cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// The first bytes are not this format's.
    #[error("not a {expected} file")]
    Magic {
        /// The format's name.
        expected: &'static str,
    },
    /// Written by another version of the program.
    #[error("{format} version {found}, this program reads {known}")]
    Version {
        /// The format's name.
        format: &'static str,
        /// What the file says.
        found: u32,
        /// What is understood.
        known: u32,
    },
    /// The file ends early or holds more than it says.
    #[error("{format} file is damaged: {what}")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// What does not fit.
        what: String,
    },
}

/// Appends to a byte buffer.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new(magic: [u8; 8], version: u32) -> Self {
        let mut w = Self(Vec::new());
        w.0.extend_from_slice(&magic);
        w.u32(version);
        w
    }
    pub(super) fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    pub(super) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn f64(&mut self, v: f64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn text(&mut self, s: &str) {
        self.u32(s.len() as u32);
        self.0.extend_from_slice(s.as_bytes());
    }
    /// Plain data; the formats are defined little-endian, as are the machines
    /// that the crate builds for.
    pub(super) fn slice<T: Pod>(&mut self, s: &[T]) {
        const { assert!(cfg!(target_endian = "little"), "files are little-endian") };
        self.0.extend_from_slice(bytemuck::cast_slice(s));
    }
}

/// Consumes a byte slice.
pub(super) struct Reader<'a> {
    format: &'static str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        format: &'static str,
        magic: [u8; 8],
        version: u32,
        bytes: &'a [u8],
    ) -> Result<Self, NativeError> {
        if bytes.len() < 12 || bytes[..8] != magic {
            return Err(NativeError::Magic { expected: format });
        }
        let mut r = Self {
            format,
            bytes: &bytes[8..],
        };
        let found = r.u32()?;
        if found == version {
            Ok(r)
        } else {
            Err(NativeError::Version {
                format,
                found,
                known: version,
            })
        }
    }
    pub(super) fn damaged(&self, what: impl Into<String>) -> NativeError {
        NativeError::Damaged {
            format: self.format,
            what: what.into(),
        }
    }
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], NativeError> {
        if n > self.bytes.len() {
            return Err(self.damaged(format!("{n} bytes wanted, {} left", self.bytes.len())));
        }
        let (head, tail) = self.bytes.split_at(n);
        self.bytes = tail;
        Ok(head)
    }
    pub(super) fn u8(&mut self) -> Result<u8, NativeError> {
        Ok(self.take(1)?[0])
    }
    pub(super) fn u32(&mut self) -> Result<u32, NativeError> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }
    pub(super) fn f64(&mut self) -> Result<f64, NativeError> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(f64::from_le_bytes(word))
    }
    pub(super) fn text(&mut self) -> Result<String, NativeError> {
        let n = self.u32()? as usize;
        let bytes = self.take(n)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.damaged("a name is not UTF-8"))
    }
    pub(super) fn vec<T: Pod + Zeroable>(&mut self, n: usize) -> Result<Vec<T>, NativeError> {
        let len = n
            .checked_mul(size_of::<T>())
            .ok_or_else(|| self.damaged(format!("{n} elements")))?;
        let bytes = self.take(len)?;
        let mut out = vec![T::zeroed(); n];
        bytemuck::cast_slice_mut(&mut out).copy_from_slice(bytes);
        Ok(out)
    }
    pub(super) fn end(self) -> Result<(), NativeError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.damaged(format!("{} bytes too many", self.bytes.len())))
        }
    }
}
