//! `features/<photo>.features`: keypoints, descriptors and colours.

use super::wire::{NativeError, Reader, Writer};
use relievo_scene::Features;

const MAGIC: [u8; 8] = *b"RLVOFEAT";
const VERSION: u32 = 1;

/// magic, version, n; n keypoints (4 × f32), n × 128 u8, n × 3 u8.
pub fn encode(features: &Features) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(features.len() as u32);
    w.slice(&features.keypoints);
    w.slice(&features.descriptors);
    w.slice(&features.colors);
    w.0
}

/// Bytes that [`count`] reads.
pub const HEAD: usize = 16;

/// Keypoints of a file, from its first [`HEAD`] bytes; `None` for another
/// format or version.
pub fn count(head: &[u8; HEAD]) -> Option<usize> {
    let mut r = Reader::new("features", MAGIC, VERSION, head).ok()?;
    Some(r.u32().ok()? as usize)
}

/// Inverse of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<Features, NativeError> {
    let mut r = Reader::new("features", MAGIC, VERSION, bytes)?;
    let n = r.u32()? as usize;
    let features = Features {
        keypoints: r.vec(n)?,
        descriptors: r.vec(n)?,
        colors: r.vec(n)?,
    };
    if let Err(broken) = features.check() {
        return Err(r.damaged(broken.to_string()));
    }
    r.end()?;
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_the_count() {
        let features = Features {
            keypoints: vec![bytemuck::Zeroable::zeroed(); 3],
            descriptors: vec![bytemuck::Zeroable::zeroed(); 3],
            colors: vec![bytemuck::Zeroable::zeroed(); 3],
        };
        let bytes = encode(&features);
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        assert_eq!(count(&head), Some(3));
        assert_eq!(count(&[0; HEAD]), None);
    }
}
