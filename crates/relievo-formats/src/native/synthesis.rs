//! `matches/<photo>.synthesis`: pairs found through simulated views, with the
//! keypoints that they mean.

use super::matches::{StoredPair, read_pair, write_pair};
use super::wire::{NativeError, Reader, Writer};
use relievo_scene::Keypoint;

const MAGIC: [u8; 8] = *b"RLVOSYNT";
const VERSION: u32 = 1;

/// Keypoints of one photo with their colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ends {
    /// The points.
    pub keypoints: Vec<Keypoint>,
    /// sRGB, one each.
    pub colors: Vec<[u8; 3]>,
}

/// One pair; its inliers are indices into `a` and `b`.
#[derive(Clone, Debug, PartialEq)]
pub struct SynthesisPair {
    /// Name of the first photo.
    pub first: String,
    /// The other's name, and the geometry.
    pub pair: StoredPair,
    /// Keypoints of the first photo.
    pub a: Ends,
    /// Keypoints of the other.
    pub b: Ends,
}

/// magic, version, n; per pair: name of the first photo, then as in `.pairs`,
/// then for each side u32 m, m keypoints (4 × f32), m × 3 u8.
pub fn encode(pairs: &[SynthesisPair]) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(pairs.len() as u32);
    for p in pairs {
        w.text(&p.first);
        write_pair(&mut w, &p.pair);
        for ends in [&p.a, &p.b] {
            w.u32(ends.keypoints.len() as u32);
            w.slice(&ends.keypoints);
            w.slice(&ends.colors);
        }
    }
    w.0
}

/// Inverse of [`encode`]; inliers outside the keypoints are refused.
pub fn decode(bytes: &[u8]) -> Result<Vec<SynthesisPair>, NativeError> {
    let mut r = Reader::new("synthesis", MAGIC, VERSION, bytes)?;
    let n = r.u32()?;
    let mut pairs = Vec::new();
    for _ in 0..n {
        let first = r.text()?;
        let pair = read_pair(&mut r)?;
        let mut ends = || -> Result<Ends, NativeError> {
            let m = r.u32()? as usize;
            Ok(Ends {
                keypoints: r.vec(m)?,
                colors: r.vec(m)?,
            })
        };
        let (a, b) = (ends()?, ends()?);
        let outside = pair.geometry.inliers.iter().any(|m| {
            m.a_idx as usize >= a.keypoints.len() || m.b_idx as usize >= b.keypoints.len()
        });
        if outside {
            return Err(r.damaged("a match names a keypoint that is not there"));
        }
        pairs.push(SynthesisPair { first, pair, a, b });
    }
    r.end()?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relievo_scene::{Match, TwoViewGeometry, TwoViewKind, ViewId};

    #[test]
    fn pairs_come_back_and_damage_is_said() {
        let ends = |n: usize| Ends {
            keypoints: (0..n)
                .map(|i| Keypoint {
                    x_px: i as f32,
                    y_px: 1.5,
                    scale_px: 2.0,
                    angle: 0.1,
                })
                .collect(),
            colors: vec![[1, 2, 3]; n],
        };
        let mut pair = SynthesisPair {
            first: "a.jpg".into(),
            pair: StoredPair {
                other: "b.jpg".into(),
                geometry: TwoViewGeometry {
                    a: ViewId(0),
                    b: ViewId(0),
                    kind: TwoViewKind::Calibrated,
                    inliers: vec![Match { a_idx: 1, b_idx: 2 }],
                    b_from_a: None,
                    f: None,
                    median_angle: 0.5,
                },
            },
            a: ends(2),
            b: ends(3),
        };
        let bytes = encode(std::slice::from_ref(&pair));
        assert_eq!(decode(&bytes).unwrap(), vec![pair.clone()]);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        pair.a = ends(1);
        assert!(decode(&encode(&[pair])).is_err());
    }
}
