//! The header of a PLY file.

use super::{FORMAT, malformed};
use crate::FormatError;

/// A header longer than this is refused.
const MAX_HEADER: usize = 1 << 20;
/// More elements or properties than this are refused.
const MAX_ENTRIES: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Ascii,
    Little,
    Big,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Scalar {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: String,
    /// Type of the value, or of the items of a list.
    pub(super) scalar: Scalar,
    /// Type of the count of a list.
    pub(super) list: Option<Scalar>,
}

#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) properties: Vec<Property>,
}

impl Element {
    /// Fewest bytes of one row.
    pub(super) fn min_row(&self, encoding: Encoding) -> usize {
        self.properties
            .iter()
            .map(|p| match encoding {
                Encoding::Ascii => 2,
                _ => p.list.unwrap_or(p.scalar).size(),
            })
            .sum()
    }
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) encoding: Encoding,
    pub(super) elements: Vec<Element>,
    /// Offset of the first byte after the header.
    pub(super) body_at: usize,
}

impl Header {
    pub(super) fn parse(data: &[u8]) -> Result<Self, FormatError> {
        let mut at = 0;
        let mut line_number = 0;
        let mut encoding = None;
        let mut elements: Vec<Element> = Vec::new();
        loop {
            line_number += 1;
            let window = &data[at..data.len().min(MAX_HEADER)];
            let Some(len) = window.iter().position(|&b| b == b'\n') else {
                return Err(if line_number == 1 {
                    malformed("first line", 1, "not \"ply\"")
                } else {
                    FormatError::Truncated {
                        format: FORMAT,
                        what: "the header",
                        at: data.len() as u64,
                    }
                });
            };
            let line = String::from_utf8_lossy(&window[..len]);
            at += len + 1;
            let bad = |found: &str| {
                malformed(
                    "header line",
                    line_number,
                    found.chars().take(80).collect::<String>(),
                )
            };
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["ply"] if line_number == 1 => {}
                _ if line_number == 1 => return Err(bad("not \"ply\"")),
                ["format", name, _version] => {
                    encoding = Some(match *name {
                        "ascii" => Encoding::Ascii,
                        "binary_little_endian" => Encoding::Little,
                        "binary_big_endian" => Encoding::Big,
                        _ => return Err(bad(&line)),
                    });
                }
                ["element", name, count] => elements.push(Element {
                    name: (*name).to_owned(),
                    count: count.parse().map_err(|_| bad(&line))?,
                    properties: Vec::new(),
                }),
                ["property", rest @ ..] => {
                    let property = parse_property(rest).ok_or_else(|| bad(&line))?;
                    let element = elements.last_mut().ok_or_else(|| bad(&line))?;
                    element.properties.push(property);
                    if element.properties.len() > MAX_ENTRIES {
                        return Err(bad("too many properties"));
                    }
                }
                ["end_header"] => break,
                [] | ["comment" | "obj_info", ..] => {}
                _ => return Err(bad(&line)),
            }
            if elements.len() > MAX_ENTRIES {
                return Err(bad("too many elements"));
            }
        }
        let encoding =
            encoding.ok_or_else(|| malformed("header", line_number, "no format line"))?;
        Ok(Self {
            encoding,
            elements,
            body_at: at,
        })
    }
}

fn parse_property(words: &[&str]) -> Option<Property> {
    match words {
        ["list", count, item, name] => Some(Property {
            name: (*name).to_owned(),
            scalar: Scalar::from_name(item)?,
            list: Some(Scalar::from_name(count)?),
        }),
        [scalar, name] => Some(Property {
            name: (*name).to_owned(),
            scalar: Scalar::from_name(scalar)?,
            list: None,
        }),
        _ => None,
    }
}
