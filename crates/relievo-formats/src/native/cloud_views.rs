//! `cloud/dense.views`: which views saw each point of `dense.ply`.

use super::wire::{NativeError, Reader, Writer};
use relievo_scene::{PointCloud, ViewId};

const MAGIC: [u8; 8] = *b"RLVOVIEW";
const VERSION: u32 = 1;

/// magic, version, points n, entries m u32; (n + 1) × u32 starts, m × u32
/// view ids.
pub fn encode(cloud: &PointCloud) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(cloud.len() as u32);
    w.u32(cloud.view_ids.len() as u32);
    w.slice(&cloud.view_starts);
    w.0.reserve_exact(4 * cloud.view_ids.len());
    for id in &cloud.view_ids {
        w.u32(id.0);
    }
    w.0
}

/// Puts the view lists of [`encode`] into `cloud`.
pub fn decode_into(cloud: &mut PointCloud, bytes: &[u8]) -> Result<(), NativeError> {
    let mut r = Reader::new("point views", MAGIC, VERSION, bytes)?;
    let (n, m) = (r.u32()? as usize, r.u32()? as usize);
    if n != cloud.len() {
        return Err(r.damaged(format!("{n} points, the cloud has {}", cloud.len())));
    }
    let starts: Vec<u32> = r.vec(n + 1)?;
    let ids: Vec<u32> = r.vec(m)?;
    let fits = starts.windows(2).all(|w| w[0] <= w[1]) && starts.last() == Some(&(m as u32));
    if !fits {
        return Err(r.damaged("view lists overlap"));
    }
    r.end()?;
    cloud.view_starts = starts;
    cloud.view_ids = ids.into_iter().map(ViewId).collect();
    Ok(())
}
