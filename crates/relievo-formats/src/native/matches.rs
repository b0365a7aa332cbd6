//! `matches/<photo>.pairs`: the verified pairs of one photo with the photos
//! after it in order of name.

use super::wire::{NativeError, Reader, Writer};
use nalgebra::Quaternion;
use relievo_geometry::{Mat3, Rigid3, Vec3};
use relievo_scene::{Match, TwoViewGeometry, TwoViewKind, ViewId};

const MAGIC: [u8; 8] = *b"RLVOPAIR";
const VERSION: u32 = 1;

/// One pair as stored: views by name, so that a shard outlives new photos.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPair {
    /// Name of the other photo.
    pub other: String,
    /// The result; its `a` and `b` are filled in by the reader.
    pub geometry: TwoViewGeometry,
}

/// magic, version, n; per pair: name, kind u8, flags u8 (1 pose, 2 F), pose 7 × f64 (qw qx qy qz tx ty tz), F 9 × f64
/// row-major, median angle f64, inliers u32 and as many 2 × u32.
pub fn encode(pairs: &[StoredPair]) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(pairs.len() as u32);
    for p in pairs {
        write_pair(&mut w, p);
    }
    w.0
}

/// Inverse of [`encode`]; the views' ids are zero.
pub fn decode(bytes: &[u8]) -> Result<Vec<StoredPair>, NativeError> {
    let mut r = Reader::new("matches", MAGIC, VERSION, bytes)?;
    let n = r.u32()?;
    let mut pairs = Vec::new();
    for _ in 0..n {
        pairs.push(read_pair(&mut r)?);
    }
    r.end()?;
    Ok(pairs)
}

pub(super) fn write_pair(w: &mut Writer, pair: &StoredPair) {
    let g = &pair.geometry;
    w.text(&pair.other);
    w.u8(g.kind as u8);
    w.u8(u8::from(g.b_from_a.is_some()) | u8::from(g.f.is_some()) << 1);
    if let Some(pose) = &g.b_from_a {
        let q = pose.rotation.quaternion();
        for v in [q.w, q.i, q.j, q.k].iter().chain(pose.translation.iter()) {
            w.f64(*v);
        }
    }
    if let Some(f) = &g.f {
        for v in f.transpose().iter() {
            w.f64(*v);
        }
    }
    w.f64(g.median_angle);
    w.u32(g.inliers.len() as u32);
    w.slice(&g.inliers);
}

pub(super) fn read_pair(r: &mut Reader<'_>) -> Result<StoredPair, NativeError> {
    let other = r.text()?;
    let kind = match r.u8()? {
        0 => TwoViewKind::Degenerate,
        1 => TwoViewKind::Calibrated,
        2 => TwoViewKind::Uncalibrated,
        3 => TwoViewKind::Planar,
        4 => TwoViewKind::PureRotation,
        5 => TwoViewKind::Watermark,
        other => return Err(r.damaged(format!("kind {other}"))),
    };
    let flags = r.u8()?;
    let b_from_a = if flags & 1 != 0 {
        let mut v = [0.0; 7];
        for x in &mut v {
            *x = r.f64()?;
        }
        // The stored quaternion is a unit one; normalising again would
        // change its last bit.
        let rotation = nalgebra::Unit::new_unchecked(Quaternion::new(v[0], v[1], v[2], v[3]));
        Some(Rigid3::new(rotation, Vec3::new(v[4], v[5], v[6])))
    } else {
        None
    };
    let f = if flags & 2 != 0 {
        let mut v = [0.0; 9];
        for x in &mut v {
            *x = r.f64()?;
        }
        Some(Mat3::from_row_slice(&v))
    } else {
        None
    };
    let median_angle = r.f64()?;
    let count = r.u32()? as usize;
    let inliers: Vec<Match> = r.vec(count)?;
    Ok(StoredPair {
        other,
        geometry: TwoViewGeometry {
            a: ViewId(0),
            b: ViewId(0),
            kind,
            inliers,
            b_from_a,
            f,
            median_angle,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_to_the_bit_and_damage_is_said() {
        let pose = Rigid3::new(
            nalgebra::UnitQuaternion::from_euler_angles(0.1, 0.2, 0.3),
            Vec3::new(0.6, 0.0, 0.8),
        );
        let pair = StoredPair {
            other: "b/ü.jpg".into(),
            geometry: TwoViewGeometry {
                a: ViewId(0),
                b: ViewId(0),
                kind: TwoViewKind::Calibrated,
                inliers: vec![Match { a_idx: 1, b_idx: 9 }, Match { a_idx: 4, b_idx: 2 }],
                b_from_a: Some(pose),
                f: Some(Mat3::new(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)),
                median_angle: 0.125,
            },
        };
        let bytes = encode(std::slice::from_ref(&pair));
        assert_eq!(decode(&bytes).unwrap(), vec![pair]);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
