//! Bounds-checked reading of little- and big-endian values from a slice.

use crate::FormatError;

/// A position in a byte slice. Every read is checked; counts are checked
/// against the bytes that are left before anything is allocated.
pub(crate) struct Cursor<'a> {
    format: &'static str,
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(format: &'static str, data: &'a [u8]) -> Self {
        Self {
            format,
            data,
            at: 0,
        }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.data.len() - self.at
    }

    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        if n > self.left() {
            return Err(FormatError::Truncated {
                format: self.format,
                what,
                at: self.data.len() as u64,
            });
        }
        let slice = &self.data[self.at..self.at + n];
        self.at += n;
        Ok(slice)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64, FormatError> {
        Ok(f64::from_le_bytes(self.array(what)?))
    }

    /// `count` entries of at least `min_bytes` each follow; refuses a count
    /// that the rest of the data cannot hold.
    pub(crate) fn count(
        &self,
        count: u64,
        min_bytes: usize,
        what: &'static str,
    ) -> Result<usize, FormatError> {
        let left = self.left() as u64;
        if count.saturating_mul(min_bytes.max(1) as u64) > left {
            return Err(FormatError::Count {
                format: self.format,
                what,
                count,
                left,
            });
        }
        Ok(count as usize)
    }

    /// A `u64` count of entries of at least `min_bytes` each.
    pub(crate) fn count_u64(
        &mut self,
        min_bytes: usize,
        what: &'static str,
    ) -> Result<usize, FormatError> {
        let count = self.u64(what)?;
        self.count(count, min_bytes, what)
    }

    /// Bytes up to the next white space, which is passed over first.
    pub(crate) fn word(&mut self, what: &'static str) -> Result<&'a [u8], FormatError> {
        let rest = &self.data[self.at..];
        let start = rest.iter().position(|b| !b.is_ascii_whitespace());
        let Some(start) = start else {
            return Err(FormatError::Truncated {
                format: self.format,
                what,
                at: self.data.len() as u64,
            });
        };
        let rest = &rest[start..];
        let len = rest
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(rest.len());
        self.at += start + len;
        Ok(&rest[..len])
    }

    /// UTF-8 text up to a zero byte.
    pub(crate) fn c_string(&mut self, what: &'static str) -> Result<String, FormatError> {
        let rest = &self.data[self.at..];
        let Some(len) = rest.iter().position(|&b| b == 0) else {
            return Err(FormatError::Truncated {
                format: self.format,
                what,
                at: self.data.len() as u64,
            });
        };
        let text = std::str::from_utf8(&rest[..len])
            .map_err(|_| self.malformed(what, "text that is not UTF-8"))?;
        self.at += len + 1;
        Ok(text.to_owned())
    }

    /// An error at the current position.
    pub(crate) fn malformed(&self, what: &'static str, found: impl Into<String>) -> FormatError {
        FormatError::Malformed {
            format: self.format,
            what,
            at: self.at as u64,
            found: found.into(),
        }
    }
}
