//! What a photo says about its camera, place and time.

use ::exif::{In, Reader, Tag, Value};
use relievo_scene::GeoTag;
use serde::{Deserialize, Serialize};

/// The EXIF data that reconstruction uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExifInfo {
    /// 1 … 8; 1 where absent.
    pub orientation: u8,
    /// Focal length as for 35 mm film, mm.
    pub focal_35mm: Option<f64>,
    /// Focal length, mm.
    pub focal_mm: Option<f64>,
    /// Pixels per mm on the sensor, of a picture `exif_width_px` wide.
    pub sensor_px_per_mm: Option<f64>,
    /// Picture width as the camera wrote it, before any resizing.
    pub exif_width_px: Option<u32>,
    /// Maker of the camera.
    pub make: Option<String>,
    /// Model of the camera.
    pub model: Option<String>,
    /// Model of the lens.
    pub lens: Option<String>,
    /// GPS position.
    pub geo: Option<GeoTag>,
    /// DateTimeOriginal with its fraction of a second, as EXIF writes it.
    pub taken: Option<String>,
}

/// √(36² + 24²) mm, the diagonal of 35 mm film.
const FILM_DIAGONAL_MM: f64 = 43.266_615_305_567_87;

impl ExifInfo {
    /// Reads the EXIF data of a picture file of any format; the defaults where
    /// there is none or it is damaged.
    pub fn of_file(data: &[u8]) -> Self {
        let found = Reader::new()
            .continue_on_error(true)
            .read_from_container(&mut std::io::Cursor::new(data))
            .or_else(|e| e.distill_partial_result(|_| {}));
        found.map_or_else(
            |_| Self {
                orientation: 1,
                ..Self::default()
            },
            |e| Self::of_exif(&e),
        )
    }

    fn of_exif(e: &::exif::Exif) -> Self {
        let uint = |tag| e.get_field(tag, In::PRIMARY)?.value.get_uint(0);
        let positive = |tag| number(e, tag, 0).filter(|v| *v > 0.0 && v.is_finite());
        let unit_mm = match uint(Tag::FocalPlaneResolutionUnit) {
            Some(3) => 10.0,
            Some(4) => 1.0,
            Some(5) => 0.001,
            _ => 25.4,
        };
        let taken = text(e, Tag::DateTimeOriginal).map(|t| {
            let fraction = text(e, Tag::SubSecTimeOriginal);
            fraction.map_or_else(|| t.clone(), |f| format!("{t}.{f}"))
        });
        Self {
            orientation: uint(Tag::Orientation)
                .and_then(|v| u8::try_from(v).ok())
                .filter(|v| (1..=8).contains(v))
                .unwrap_or(1),
            focal_35mm: positive(Tag::FocalLengthIn35mmFilm),
            focal_mm: positive(Tag::FocalLength),
            sensor_px_per_mm: positive(Tag::FocalPlaneXResolution).map(|r| r / unit_mm),
            exif_width_px: uint(Tag::PixelXDimension).filter(|v| *v > 0),
            make: text(e, Tag::Make),
            model: text(e, Tag::Model),
            lens: text(e, Tag::LensModel),
            geo: geo(e),
            taken,
        }
    }

    /// Focal length in pixels of a picture of this size, where EXIF knows it.
    ///
    /// From the 35 mm equivalent by the diagonal: f₃₅ / 43.27 mm × diagonal.
    /// That is how cameras compute it (CIPA DCG-001); for 3:2 pictures it is
    /// f₃₅ / 36 × width. (COLMAP takes f₃₅ / 35 × the longer side, which lies
    /// between 3:2 and 4:3.) Else from the focal length and the resolution on
    /// the sensor. Values outside 0.2 … 20 times the longer side are not
    /// believed.
    pub fn focal_px(&self, width_px: u32, height_px: u32) -> Option<f64> {
        let (w, h) = (f64::from(width_px), f64::from(height_px));
        let longer = w.max(h);
        let by_film = self.focal_35mm.map(|f| f / FILM_DIAGONAL_MM * w.hypot(h));
        let by_sensor = || {
            let px_per_mm = self.sensor_px_per_mm?;
            let resized = self
                .exif_width_px
                .map_or(1.0, |stored| longer / f64::from(stored).max(1.0));
            // The camera's own width is the longer side; a resized picture
            // keeps the tag.
            let resized = if resized < 1.0 { resized } else { 1.0 };
            Some(self.focal_mm? * px_per_mm * resized)
        };
        let believable = |f: &f64| (0.2..20.0).contains(&(f / longer));
        by_film
            .filter(believable)
            .or_else(|| by_sensor().filter(believable))
    }

    /// Tells one zoom of a lens from another: equal for photos taken at the
    /// same focal length and the same digital zoom.
    pub fn focal_key(&self) -> (Option<u64>, Option<u64>) {
        let bits = |v: Option<f64>| v.map(f64::to_bits);
        (bits(self.focal_mm), bits(self.focal_35mm))
    }

    /// Make, model and lens as one line, where any is known.
    pub fn device(&self) -> Option<String> {
        let parts: Vec<&str> = [&self.make, &self.model, &self.lens]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

fn number(e: &::exif::Exif, tag: Tag, index: usize) -> Option<f64> {
    match &e.get_field(tag, In::PRIMARY)?.value {
        Value::Rational(v) => v
            .get(index)
            .filter(|r| r.denom != 0)
            .map(::exif::Rational::to_f64),
        Value::SRational(v) => v
            .get(index)
            .filter(|r| r.denom != 0)
            .map(::exif::SRational::to_f64),
        Value::Float(v) => v.get(index).map(|v| f64::from(*v)),
        Value::Double(v) => v.get(index).copied(),
        other => other.get_uint(index).map(f64::from),
    }
}

fn text(e: &::exif::Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(parts) = &e.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let text = String::from_utf8_lossy(parts.first()?);
    let text: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn geo(e: &::exif::Exif) -> Option<GeoTag> {
    let degrees = |tag, sign_tag, negative: &str| {
        let d = number(e, tag, 0)?
            + number(e, tag, 1).unwrap_or(0.0) / 60.0
            + number(e, tag, 2).unwrap_or(0.0) / 3600.0;
        let flip = text(e, sign_tag).is_some_and(|s| s.eq_ignore_ascii_case(negative));
        Some(if flip { -d } else { d })
    };
    let latitude_deg = degrees(Tag::GPSLatitude, Tag::GPSLatitudeRef, "S")?;
    let longitude_deg = degrees(Tag::GPSLongitude, Tag::GPSLongitudeRef, "W")?;
    let below = e
        .get_field(Tag::GPSAltitudeRef, In::PRIMARY)
        .and_then(|f| f.value.get_uint(0))
        == Some(1);
    let altitude_m = number(e, Tag::GPSAltitude, 0)
        .filter(|a| a.is_finite())
        .map(|a| if below { -a } else { a });
    let valid = latitude_deg.abs() <= 90.0
        && longitude_deg.abs() <= 180.0
        // Phones without a fix write zeros.
        && (latitude_deg != 0.0 || longitude_deg != 0.0);
    valid.then_some(GeoTag {
        latitude_deg,
        longitude_deg,
        altitude_m,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_focal_key_tells_optical_and_digital_zoom_apart() {
        let key = |focal_mm, focal_35mm| {
            let e = ExifInfo {
                focal_35mm,
                focal_mm,
                ..ExifInfo::default()
            };
            e.focal_key()
        };
        let wide = key(Some(4.2), Some(26.0));
        assert_eq!(wide, key(Some(4.2), Some(26.0)));
        assert_ne!(wide, key(Some(4.2), Some(52.0)), "digital zoom");
        assert_ne!(wide, key(Some(6.0), Some(26.0)));
        assert_ne!(wide, key(None, Some(26.0)));
        assert_ne!(key(Some(26.0), None), key(None, Some(26.0)));
    }

    #[test]
    fn focal_length_follows_the_diagonal() {
        let by_film = ExifInfo {
            focal_35mm: Some(36.0),
            ..ExifInfo::default()
        };
        assert!((by_film.focal_px(3000, 2000).unwrap() - 3000.0).abs() < 1e-9);
        assert!((by_film.focal_px(2000, 3000).unwrap() - 3000.0).abs() < 1e-9);
        let by_sensor = ExifInfo {
            focal_mm: Some(50.0),
            sensor_px_per_mm: Some(100.0),
            exif_width_px: Some(3600),
            ..ExifInfo::default()
        };
        assert!((by_sensor.focal_px(3600, 2400).unwrap() - 5000.0).abs() < 1e-9);
        assert!((by_sensor.focal_px(1800, 1200).unwrap() - 2500.0).abs() < 1e-9);
        let nonsense = ExifInfo {
            focal_35mm: Some(9000.0),
            ..ExifInfo::default()
        };
        assert_eq!(nonsense.focal_px(3000, 2000), None);
    }
}
