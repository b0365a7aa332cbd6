//! The sidecar of a cloud: which views saw each point.
//!
//! | bytes | what (little-endian) |
//! | --- | --- |
//! | 4 | magic `RLCV` |
//! | 4 | version, u32 = 1 |
//! | 8 | n, number of points, u64 |
//! | 8 | m, number of view ids, u64 |
//! | 4·(n+1) | starts, u32; absent where n = 0 and m = 0 |
//! | 4·m | view ids, u32 |

use crate::FormatError;
use crate::cursor::Cursor;
use relievo_scene::{PointCloud, ViewId};

const FORMAT: &str = "views of a cloud";
const MAGIC: &[u8; 4] = b"RLCV";

/// The view lists of `cloud`; an empty list where it has none.
pub fn encode_cloud_views(cloud: &PointCloud) -> Vec<u8> {
    let n = cloud.view_starts.len().saturating_sub(1);
    let mut out = MAGIC.to_vec();
    out.extend(1_u32.to_le_bytes());
    out.extend((n as u64).to_le_bytes());
    out.extend((cloud.view_ids.len() as u64).to_le_bytes());
    for s in &cloud.view_starts {
        out.extend(s.to_le_bytes());
    }
    for id in &cloud.view_ids {
        out.extend(id.0.to_le_bytes());
    }
    out
}

/// Puts the view lists of a sidecar into `cloud`, which must have as many
/// points.
pub fn decode_cloud_views(data: &[u8], cloud: &mut PointCloud) -> Result<(), FormatError> {
    let mut c = Cursor::new(FORMAT, data);
    if &c.array::<4>("magic")? != MAGIC {
        return Err(c.malformed("magic", "not RLCV"));
    }
    let version = c.u32("version")?;
    if version != 1 {
        return Err(c.malformed("version", version.to_string()));
    }
    let n = c.u64("number of points")?;
    let m = c.u64("number of views")?;
    let starts = if c.left() == 0 {
        0
    } else {
        n.saturating_add(1)
    };
    let starts = c.count(starts, 4, "starts")?;
    let m = c.count(m, 4, "views")?;
    let view_starts: Vec<u32> = (0..starts)
        .map(|_| c.u32("starts"))
        .collect::<Result<_, _>>()?;
    let view_ids: Vec<ViewId> = (0..m)
        .map(|_| c.u32("views").map(ViewId))
        .collect::<Result<_, _>>()?;
    let rising = view_starts.windows(2).all(|w| w[0] <= w[1])
        && view_starts.first().is_none_or(|&s| s == 0)
        && view_starts.last().is_none_or(|&e| e as usize == m);
    let same = view_starts.is_empty() || view_starts.len() == cloud.len() + 1;
    if !rising || !same {
        return Err(c.malformed(
            "view lists",
            format!("they do not fit the {} points of the cloud", cloud.len()),
        ));
    }
    cloud.view_starts = view_starts;
    cloud.view_ids = view_ids;
    Ok(())
}
