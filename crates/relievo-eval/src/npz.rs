//! NumPy archives: a zip of arrays in the NPY format (NumPy enhancement
//! proposal 1). Little-endian numbers and fixed-width strings, C order.

use crate::error::EvalError;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Largest array that is read, bytes.
const MAX_BYTES: u64 = 4 << 30;

/// One array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub values: Values,
}

/// Values of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Any number type.
    Numbers(Vec<f64>),
    /// `<U..` strings.
    Text(Vec<String>),
}

impl Array {
    /// The numbers, where it holds numbers.
    pub fn numbers(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Numbers(v) => Some(v),
            Values::Text(_) => None,
        }
    }

    /// The strings, where it holds strings.
    pub fn text(&self) -> Option<&[String]> {
        match &self.values {
            Values::Text(v) => Some(v),
            Values::Numbers(_) => None,
        }
    }
}

/// All arrays of an archive, by name.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Array>, EvalError> {
    let fail = |what: String| EvalError::Npz {
        path: path.to_owned(),
        what,
    };
    let file = fs_err::File::open(path)?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file))
        .map_err(|e| fail(format!("is not a NumPy archive ({e})")))?;
    let mut arrays = BTreeMap::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(|e| fail(e.to_string()))?;
        let name = entry.name().map_err(|e| fail(e.to_string()))?;
        let name = name.trim_end_matches(".npy").to_owned();
        let mut bytes = Vec::new();
        let entry = &mut entry;
        entry
            .take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|e| fail(format!("{name}: {e}")))?;
        let array = decode_npy(&bytes).map_err(|what| fail(format!("{name}: {what}")))?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// One array from the bytes of an NPY file.
pub fn decode_npy(bytes: &[u8]) -> Result<Array, &'static str> {
    let major = match bytes.get(..8) {
        Some(head) if &head[..6] == b"\x93NUMPY" => head[6],
        _ => return Err("is not a NumPy array"),
    };
    let (start, len) = match (major, bytes.get(8..12)) {
        (1, Some(b)) => (10, usize::from(u16::from_le_bytes([b[0], b[1]]))),
        (2 | 3, Some(b)) => (12, u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize),
        _ => return Err("has an unknown version"),
    };
    let header = bytes
        .get(start..start + len)
        .and_then(|h| std::str::from_utf8(h).ok())
        .ok_or("has a damaged header")?;
    let field = |name: &str| {
        let after = header.split_once(&format!("'{name}':"))?.1.trim_start();
        Some(after)
    };
    let descr = field("descr")
        .and_then(|d| d.strip_prefix('\''))
        .and_then(|d| d.split_once('\''))
        .ok_or("has no type")?
        .0;
    if field("fortran_order").is_none_or(|f| f.starts_with("True")) {
        return Err("is stored by columns, which is not read");
    }
    let shape: Vec<usize> = field("shape")
        .and_then(|s| s.strip_prefix('('))
        .and_then(|s| s.split_once(')'))
        .ok_or("has no shape")?
        .0
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(|n| n.parse().map_err(|_| "has a damaged shape"))
        .collect::<Result<_, _>>()?;
    let count = shape
        .iter()
        .try_fold(1_usize, |n, &d| n.checked_mul(d))
        .ok_or("is too large")?;
    let data = &bytes[start + len..];
    let (kind, width) = descr
        .trim_start_matches(['<', '|', '='])
        .split_at_checked(1)
        .and_then(|(k, w)| Some((k, w.parse::<usize>().ok()?)))
        .ok_or("has an unknown type")?;
    let bytes_each = if kind == "U" {
        width.saturating_mul(4)
    } else {
        width
    };
    if count.checked_mul(bytes_each).is_none_or(|n| n > data.len()) {
        return Err("is cut off");
    }
    let cells = || (0..count).map(|i| &data[i * bytes_each..(i + 1) * bytes_each]);
    macro_rules! numbers {
        ($t:ty) => {
            Values::Numbers(
                cells()
                    .map(|c| {
                        let mut raw = [0; size_of::<$t>()];
                        raw.copy_from_slice(c);
                        <$t>::from_le_bytes(raw) as f64
                    })
                    .collect(),
            )
        };
    }
    let values = match (kind, width) {
        ("u" | "b", 1) => numbers!(u8),
        ("u", 2) => numbers!(u16),
        ("u", 4) => numbers!(u32),
        ("u", 8) => numbers!(u64),
        ("i", 1) => numbers!(i8),
        ("i", 2) => numbers!(i16),
        ("i", 4) => numbers!(i32),
        ("i", 8) => numbers!(i64),
        ("f", 4) => numbers!(f32),
        ("f", 8) => numbers!(f64),
        ("U", _) => Values::Text(
            cells()
                .map(|c| {
                    c.chunks_exact(4)
                        .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
                        .take_while(|&w| w != 0)
                        .filter_map(char::from_u32)
                        .collect()
                })
                .collect(),
        ),
        _ => return Err("has a type that is not read"),
    };
    Ok(Array { shape, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_strings_and_scalars() {
        let a = decode_npy(&npy("<u2", "(2, 1)", &[1, 0, 2, 1])).unwrap();
        assert_eq!(
            (a.shape.as_slice(), a.numbers().unwrap()),
            (&[2, 1][..], &[1.0, 258.0][..])
        );
        let a = decode_npy(&npy("<f8", "()", &0.25_f64.to_le_bytes())).unwrap();
        assert_eq!(a.numbers().unwrap(), [0.25]);
        let a = decode_npy(&npy("<U2", "(1,)", &[b'h', 0, 0, 0, 0, 0, 0, 0])).unwrap();
        assert_eq!(a.text().unwrap(), ["h"]);
    }

    #[test]
    fn damaged_arrays_are_refused() {
        let whole = npy("<f4", "(3,)", &[0; 12]);
        for cut in 0..whole.len() {
            assert!(decode_npy(&whole[..cut]).is_err(), "{cut}");
        }
        for bad in ["(99999999999999, 99999999999)", "(-1,)", "(x)", "3"] {
            assert!(decode_npy(&npy("<f4", bad, &[0; 12])).is_err(), "{bad}");
        }
        assert!(decode_npy(&npy("<c8", "(1,)", &[0; 8])).is_err());
    }
}
