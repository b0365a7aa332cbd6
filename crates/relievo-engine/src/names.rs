//! File names from photo names.

use crate::key::digest_bytes;

/// Longest stem before the rest is replaced by a digest; file systems allow
/// 255 bytes for the whole name.
const MAX_STEM: usize = 180;

/// One file name for a photo's name, without folders: letters, digits and
/// `_ - .` stay, `/` becomes `+`, every other byte (and a leading `.`
/// or second `.` in a row) is written `%XX`. Different names give different file names; very long ones
/// end in a digest. `extension` is appended as it is, e.g. `".depth"`.
pub fn file_name(name: &str, extension: &str) -> String {
    let mut stem = String::with_capacity(name.len());
    let mut before = b'.';
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => stem.push(byte as char),
            b'.' if before != b'.' => stem.push('.'),
            b'/' => stem.push('+'),
            _ => {
                use std::fmt::Write as _;
                let _ = write!(stem, "%{byte:02X}");
            }
        }
        before = byte;
    }
    if stem.is_empty() {
        stem.push('%');
    }
    if stem.len() > MAX_STEM {
        stem.truncate(MAX_STEM - 33);
        stem.push('~');
        stem.push_str(&digest_bytes(name.as_bytes()).to_string()[..32]);
    }
    stem + extension
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn different_names_give_different_safe_files() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let names = [
            "a/b.jpg",
            "a+b.jpg",
            "a%2Bb.jpg",
            "a b.jpg",
            "a%20b.jpg",
            ".a",
            "%2Ea",
            "a",
            "ä.jpg",
            "..",
            "../x",
            "a\\b",
            "a:b",
            &long,
            &longer,
            "~",
            "",
        ];
        let files: BTreeSet<String> = names.iter().map(|n| file_name(n, ".f")).collect();
        assert_eq!(files.len(), names.len());
        for file in &files {
            assert!(
                file.len() < 200 && !file.contains('/') && !file.contains(".."),
                "{file}"
            );
        }
        assert_eq!(
            file_name("left/IMG_1.jpg", ".depth"),
            "left+IMG_1.jpg.depth"
        );
    }
}
