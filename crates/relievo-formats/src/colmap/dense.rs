//! Arrays of COLMAP's dense workspace: `stereo/depth_maps`, `stereo/normal_maps`.
//!
//! The ASCII header `width&height&channels&`, then little-endian `f32`: channel
//! after channel, each row by row from the top. A depth map has one channel (z in
//! the camera frame, 0 = none), a normal map three (x, y, z in the camera frame).
//! <https://colmap.github.io/format.html#dense-reconstruction>

use crate::FormatError;
use crate::cursor::Cursor;
use relievo_image::Raster;

const FORMAT: &str = "COLMAP dense array";
/// Digits of the longest size that is read.
const MAX_DIGITS: usize = 9;

/// The array of these channels, all of one size.
pub fn encode_dense_array(channels: &[Raster<f32>]) -> Vec<u8> {
    let (w, h) = channels.first().map_or((0, 0), |c| (c.width(), c.height()));
    let mut bytes = format!("{w}&{h}&{}&", channels.len()).into_bytes();
    bytes.reserve(4 * w * h * channels.len());
    for channel in channels {
        assert_eq!((channel.width(), channel.height()), (w, h));
        for v in channel.as_slice() {
            bytes.extend(v.to_le_bytes());
        }
    }
    bytes
}

/// Inverse of [`encode_dense_array`]: the channels.
pub fn decode_dense_array(bytes: &[u8]) -> Result<Vec<Raster<f32>>, FormatError> {
    let mut c = Cursor::new(FORMAT, bytes);
    let mut size = [0_usize; 3];
    for (v, what) in size.iter_mut().zip(["width", "height", "channels"]) {
        let mut digits = String::new();
        loop {
            match c.array::<1>(what)?[0] {
                b'&' => break,
                d if d.is_ascii_digit() && digits.len() < MAX_DIGITS => digits.push(d.into()),
                other => {
                    let found = format!("byte {other} in the header");
                    return Err(c.malformed(what, found));
                }
            }
        }
        *v = digits
            .parse()
            .map_err(|_| c.malformed(what, "no digits in the header"))?;
    }
    let [w, h, channels] = size;
    let count = (w as u64).saturating_mul(h as u64);
    c.count(count.saturating_mul(channels as u64), 4, "values")?;
    if c.left() as u64 != 4 * count * channels as u64 || (count == 0 && channels > 0) {
        let found = format!("{} bytes for {w} x {h} x {channels} values", c.left());
        return Err(c.malformed("values", found));
    }
    let mut rasters = Vec::new();
    for _ in 0..channels {
        let plane = c.take(4 * w * h, "values")?;
        let values = plane.as_chunks::<4>().0.iter();
        let values = values.map(|v| f32::from_le_bytes(*v)).collect();
        rasters.push(Raster::from_vec(w, h, values));
    }
    Ok(rasters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_follow_each_other_row_by_row() {
        let x = Raster::from_vec(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN]);
        let y = x.map(|v| -v);
        let bytes = encode_dense_array(&[x.clone(), y.clone()]);
        assert!(bytes.starts_with(b"3&2&2&"));
        // Row 1, column 0 of channel 0, and row 0, column 1 of channel 1.
        assert_eq!(bytes[6 + 12..][..4], 4.0_f32.to_le_bytes());
        assert_eq!(bytes[6 + 24 + 4..][..4], (-2.0_f32).to_le_bytes());
        let back = decode_dense_array(&bytes).unwrap();
        let bits = |r: &Raster<f32>| r.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(back.len(), 2);
        assert_eq!((back[1].width(), back[1].height()), (3, 2));
        assert_eq!((bits(&back[0]), bits(&back[1])), (bits(&x), bits(&y)));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        let good = encode_dense_array(&[Raster::filled(4, 3, 1.0)]);
        for n in 0..good.len() {
            assert!(decode_dense_array(&good[..n]).is_err(), "{n} bytes");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(decode_dense_array(&longer).is_err());
        for bad in [
            &b""[..],
            b"&&&",
            b"4&3",
            b"-1&3&1&",
            b"999999999&999999999&999999999&",
            b"9999999999&1&1&",
            b"0&0&999999999&",
        ] {
            let error = decode_dense_array(bad).unwrap_err().to_string();
            assert!(error.starts_with("COLMAP dense array"), "{error}");
        }
    }
}
