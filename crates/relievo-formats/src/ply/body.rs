//! The rows after the header, one element after the other.

use super::header::{Element, Encoding, Header, Property, Scalar};
use super::{FORMAT, malformed};
use crate::FormatError;
use crate::cursor::Cursor;

/// One row, reused from row to row.
#[derive(Default)]
pub(super) struct Row {
    /// Value of each property; the length of a list property.
    pub(super) scalars: Vec<f64>,
    lists: Vec<Vec<f64>>,
}

impl Row {
    /// The items of list property `i`.
    pub(super) fn list(&self, i: usize) -> &[f64] {
        &self.lists[i]
    }
}

/// Reads elements in the order of the header.
pub(super) struct Body<'a> {
    encoding: Encoding,
    cursor: Cursor<'a>,
}

impl<'a> Body<'a> {
    pub(super) fn new(data: &'a [u8], header: &Header) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(FORMAT, data);
        cursor.take(header.body_at, "the header")?;
        Ok(Self {
            encoding: header.encoding,
            cursor,
        })
    }

    /// Passes over an element.
    pub(super) fn skip(&mut self, element: &Element) -> Result<(), FormatError> {
        let fixed = element.properties.iter().all(|p| p.list.is_none());
        if fixed && self.encoding != Encoding::Ascii {
            let n = self.announced(element)?;
            self.cursor
                .take(n * element.min_row(self.encoding), "a skipped element")?;
            return Ok(());
        }
        self.rows(element, |_| {})
    }

    /// The number of rows, checked against the bytes that are left. An element
    /// without properties has no rows worth reading.
    fn announced(&self, element: &Element) -> Result<usize, FormatError> {
        if element.properties.is_empty() {
            return Ok(0);
        }
        let min_row = element.min_row(self.encoding);
        // The last value of an ASCII file may lack its line end.
        let left = self.cursor.left() as u64 + 1;
        if element.count.saturating_mul(min_row as u64) > left {
            return Err(FormatError::Count {
                format: FORMAT,
                what: "rows",
                count: element.count,
                left: left - 1,
            });
        }
        Ok(element.count as usize)
    }

    /// Calls `sink` for each row of the element.
    pub(super) fn rows(
        &mut self,
        element: &Element,
        mut sink: impl FnMut(&Row),
    ) -> Result<(), FormatError> {
        let n = self.announced(element)?;
        let mut row = Row {
            scalars: vec![0.0; element.properties.len()],
            lists: vec![Vec::new(); element.properties.len()],
        };
        for _ in 0..n {
            for (i, property) in element.properties.iter().enumerate() {
                match self.encoding {
                    Encoding::Ascii => self.ascii(property, i, &mut row)?,
                    Encoding::Little => self.binary::<true>(property, i, &mut row)?,
                    Encoding::Big => self.binary::<false>(property, i, &mut row)?,
                }
            }
            sink(&row);
        }
        Ok(())
    }

    #[inline]
    fn binary<const LITTLE: bool>(
        &mut self,
        property: &Property,
        i: usize,
        row: &mut Row,
    ) -> Result<(), FormatError> {
        let Some(count) = property.list else {
            let bytes = self.cursor.take(property.scalar.size(), "a row")?;
            row.scalars[i] = scalar::<LITTLE>(bytes, property.scalar);
            return Ok(());
        };
        let bytes = self.cursor.take(count.size(), "a list length")?;
        let n = self.list_len(scalar::<LITTLE>(bytes, count), property.scalar.size())?;
        let size = property.scalar.size();
        let items = self.cursor.take(n * size, "a list")?;
        row.scalars[i] = n as f64;
        row.lists[i].clear();
        row.lists[i].extend(
            items
                .chunks_exact(size)
                .map(|b| scalar::<LITTLE>(b, property.scalar)),
        );
        Ok(())
    }

    fn ascii(&mut self, property: &Property, i: usize, row: &mut Row) -> Result<(), FormatError> {
        let value = self.word()?;
        row.scalars[i] = value;
        if property.list.is_some() {
            // Each item needs a character and a gap, but for the very last.
            let n = self.list_len(value, 1)?;
            row.lists[i].clear();
            for _ in 0..n {
                let item = self.word()?;
                row.lists[i].push(item);
            }
        }
        Ok(())
    }

    fn list_len(&self, value: f64, item_bytes: usize) -> Result<usize, FormatError> {
        if !(value >= 0.0 && value.fract() == 0.0) {
            return Err(malformed(
                "list length",
                self.cursor.at(),
                value.to_string(),
            ));
        }
        self.cursor.count(value as u64, item_bytes, "list items")
    }

    fn word(&mut self) -> Result<f64, FormatError> {
        let at = self.cursor.at();
        let word = self.cursor.word("a row")?;
        let text = std::str::from_utf8(word).unwrap_or("");
        text.parse().map_err(|_| {
            malformed(
                "number",
                at,
                String::from_utf8_lossy(&word[..word.len().min(40)]),
            )
        })
    }
}

#[inline]
fn scalar<const LITTLE: bool>(b: &[u8], kind: Scalar) -> f64 {
    fn fixed<const N: usize, const LITTLE: bool>(b: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&b[..N]);
        if !LITTLE {
            out.reverse();
        }
        out
    }
    match kind {
        Scalar::I8 => f64::from(b[0] as i8),
        Scalar::U8 => f64::from(b[0]),
        Scalar::I16 => f64::from(i16::from_le_bytes(fixed::<2, LITTLE>(b))),
        Scalar::U16 => f64::from(u16::from_le_bytes(fixed::<2, LITTLE>(b))),
        Scalar::I32 => f64::from(i32::from_le_bytes(fixed::<4, LITTLE>(b))),
        Scalar::U32 => f64::from(u32::from_le_bytes(fixed::<4, LITTLE>(b))),
        Scalar::F32 => f64::from(f32::from_le_bytes(fixed::<4, LITTLE>(b))),
        Scalar::F64 => f64::from_le_bytes(fixed::<8, LITTLE>(b)),
    }
}
