//! NumPy's `.npy`, version 1.0 (NEP 1): one array of f32.

use relievo_image::Raster;

/// A raster as an array of shape (height, width), little-endian, C order.
pub fn encode_npy(raster: &Raster<f32>) -> Vec<u8> {
    encode(&[raster.height(), raster.width()], raster.as_slice().iter())
}

/// A raster of vectors as an array of shape (height, width, N).
pub fn encode_npy_vectors<const N: usize>(raster: &Raster<[f32; N]>) -> Vec<u8> {
    let shape = [raster.height(), raster.width(), N];
    encode(&shape, raster.as_slice().iter().flatten())
}

fn encode<'a>(shape: &[usize], values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}",
        shape.join(", ")
    );
    // Magic, version and length take 10 bytes; the data start at a multiple
    // of 64, after a line end.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for v in values {
        bytes.extend(v.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_padded_and_the_rows_follow() {
        let mut raster = Raster::<f32>::new(3, 2);
        raster.as_mut_slice()[4] = 1.5;
        let bytes = encode_npy(&raster);
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(header.contains("'shape': (2, 3)") && header.ends_with('\n'));
        assert_eq!(bytes.len(), 10 + length + 6 * 4);
        assert_eq!(
            bytes[10 + length + 16..10 + length + 20],
            1.5_f32.to_le_bytes()
        );
    }

    #[test]
    fn vectors_are_a_third_axis() {
        let raster = Raster::from_fn(3, 2, |x, y| [x as f32, y as f32, 7.0]);
        let bytes = encode_npy_vectors(&raster);
        let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
        assert!(header.contains("'shape': (2, 3, 3)"), "{header}");
        assert_eq!(bytes.len(), 128 + 18 * 4);
        let at = |k: usize| f32::from_le_bytes(*bytes[128 + 4 * k..].first_chunk().unwrap());
        assert_eq!([at(15), at(16), at(17)], [2.0, 1.0, 7.0]);
    }
}
