//! Which way up a video is shown, from its container.
//!
//! Phones write pictures as the sensor lies and the turn into the track header
//! (ISO/IEC 14496-12, section 8.3.2). Read here because decoders differ:
//! OpenCV 4.6 with FFmpeg 5 turns the wrong way.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Movie headers larger than this are not read.
const MOST_BYTES: u64 = 256 << 20;

/// EXIF orientation (1 … 8) of the first video track of an mp4 or mov; 1 where
/// the file says nothing, or is of another kind.
///
/// # Errors
/// The file cannot be read.
pub fn orientation_of_video(path: &Path) -> std::io::Result<u8> {
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    let mut at = 0;
    while length - at >= 8 {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        let n = (length - at).min(16) as usize;
        file.read_exact(&mut head[..n])?;
        let Some((kind, header, size)) = box_head(&head[..n], length - at) else {
            break;
        };
        if &kind == b"moov" && size <= MOST_BYTES {
            file.seek(SeekFrom::Start(at + header))?;
            let mut movie = vec![0; (size - header) as usize];
            file.read_exact(&mut movie)?;
            return Ok(orientation_of_movie(&movie));
        }
        at += size;
    }
    Ok(1)
}

/// Kind, length of the header and of the whole box that starts with `bytes`,
/// of which `left` are in the file.
fn box_head(bytes: &[u8], left: u64) -> Option<([u8; 4], u64, u64)> {
    let short = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let kind = bytes.get(4..8)?.try_into().ok()?;
    let (header, size) = match short {
        0 => (8, left),
        1 => (16, u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?)),
        n => (8, u64::from(n)),
    };
    (size >= header && size <= left).then_some((kind, header, size))
}

/// The boxes inside of one.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, header, size) = box_head(bytes, bytes.len() as u64)?;
        let inside = &bytes[header as usize..size as usize];
        bytes = &bytes[size as usize..];
        Some((kind, inside))
    })
}

fn find(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes).find(|(k, _)| *k == kind).map(|(_, b)| b)
}

fn orientation_of_movie(movie: &[u8]) -> u8 {
    boxes(movie)
        .filter(|(kind, _)| kind == b"trak")
        .filter(|(_, track)| {
            find(track, *b"mdia")
                .and_then(|media| find(media, *b"hdlr"))
                .is_some_and(|handler| handler.get(8..12) == Some(b"vide"))
        })
        .find_map(|(_, track)| orientation_of_track(find(track, *b"tkhd")?))
        .unwrap_or(1)
}

/// From the matrix of a track header: x′ = a·x + c·y, y′ = b·x + d·y.
fn orientation_of_track(header: &[u8]) -> Option<u8> {
    let at = if *header.first()? == 0 { 40 } else { 52 };
    let entry = |k: usize| {
        let bytes = header.get(at + 4 * k..at + 4 * k + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?).signum())
    };
    Some(match [entry(0)?, entry(1)?, entry(3)?, entry(4)?] {
        [-1, 0, 0, 1] => 2,
        [-1, 0, 0, -1] => 3,
        [1, 0, 0, -1] => 4,
        [0, 1, 1, 0] => 5,
        [0, 1, -1, 0] => 6,
        [0, -1, -1, 0] => 7,
        [0, -1, 1, 0] => 8,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_box(kind: [u8; 4], inside: &[u8]) -> Vec<u8> {
        let mut out = (inside.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend(kind);
        out.extend(inside);
        out
    }

    fn track(handler: [u8; 4], matrix: [i32; 4], version: u8) -> Vec<u8> {
        let mut header = vec![version; 1];
        header.resize(if version == 0 { 40 } else { 52 }, 0);
        let [a, b, c, d] = matrix.map(|v| v << 16);
        for v in [a, b, 0, c, d, 0, 0, 0, 1 << 30] {
            header.extend(v.to_be_bytes());
        }
        let mut hdlr = vec![0; 8];
        hdlr.extend(handler);
        let media = a_box(*b"mdia", &a_box(*b"hdlr", &hdlr));
        a_box(*b"trak", &[a_box(*b"tkhd", &header), media].concat())
    }

    fn movie(matrix: [i32; 4], version: u8) -> Vec<u8> {
        let sound = track(*b"soun", [-1, 0, 0, -1], 0);
        let tracks = [sound, track(*b"vide", matrix, version)].concat();
        [
            a_box(*b"ftyp", b"isom"),
            a_box(*b"mdat", &[0; 100]),
            a_box(*b"moov", &tracks),
        ]
        .concat()
    }

    fn orientation(file: &[u8]) -> u8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        fs_err::write(&path, file).unwrap();
        orientation_of_video(&path).unwrap()
    }

    #[test]
    fn turns_are_those_of_the_picture_track() {
        for (matrix, want) in [
            ([1, 0, 0, 1], 1),
            // Held upright: the coded picture is turned clockwise by 90°.
            ([0, 1, -1, 0], 6),
            ([-1, 0, 0, -1], 3),
            ([0, -1, 1, 0], 8),
            ([-1, 0, 0, 1], 2),
        ] {
            assert_eq!(orientation(&movie(matrix, 0)), want, "{matrix:?}");
            assert_eq!(orientation(&movie(matrix, 1)), want, "{matrix:?}");
        }
    }

    #[test]
    fn cut_or_foreign_files_are_upright() {
        let whole = movie([0, 1, -1, 0], 0);
        for length in 0..whole.len() {
            assert_eq!(orientation(&whole[..length]), 1, "{length} bytes");
        }
        assert_eq!(orientation(&[0xff; 300]), 1);
        // A box that claims no size must not hold the reader up.
        assert_eq!(
            orientation(&[0, 0, 0, 1, b'm', b'o', b'o', b'v', 0, 0, 0, 0, 0, 0, 0, 0]),
            1
        );
    }
}
