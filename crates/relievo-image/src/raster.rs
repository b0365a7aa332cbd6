//! A dense 2-D array of pixels, row-major.

/// `width × height` values of `T`, row-major, top-left first.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Raster<T> {
    width: usize,
    height: usize,
    data: Vec<T>,
}

impl<T: Clone> Raster<T> {
    /// Every pixel is `value`.
    pub fn filled(width: usize, height: usize, value: T) -> Self {
        Self {
            width,
            height,
            data: vec![value; width * height],
        }
    }
}

impl<T: Clone + Default> Raster<T> {
    /// Every pixel is the default value.
    pub fn new(width: usize, height: usize) -> Self {
        Self::filled(width, height, T::default())
    }
}

impl<T> Raster<T> {
    /// Takes `data` as rows. Panics where the length is not width × height.
    pub fn from_vec(width: usize, height: usize, data: Vec<T>) -> Self {
        assert_eq!(
            data.len(),
            width * height,
            "raster data has the wrong length"
        );
        Self {
            width,
            height,
            data,
        }
    }

    /// Computes every pixel from (x, y).
    pub fn from_fn(width: usize, height: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                data.push(f(x, y));
            }
        }
        Self {
            width,
            height,
            data,
        }
    }

    /// Columns.
    #[inline]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[inline]
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, row by row.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All pixels, row by row.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The pixels, row by row.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// Row y.
    #[inline]
    pub fn row(&self, y: usize) -> &[T] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Row y.
    #[inline]
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        &mut self.data[y * self.width..(y + 1) * self.width]
    }

    /// True where there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// True for a pixel inside.
    #[inline]
    pub fn contains(&self, x: isize, y: isize) -> bool {
        x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height
    }

    /// A new raster of `f` of each pixel.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Raster<U> {
        Raster {
            width: self.width,
            height: self.height,
            data: self.data.iter().map(f).collect(),
        }
    }
}

impl<T> std::ops::Index<(usize, usize)> for Raster<T> {
    type Output = T;
    /// Pixel (x, y).
    #[inline]
    fn index(&self, (x, y): (usize, usize)) -> &T {
        debug_assert!(x < self.width && y < self.height);
        &self.data[y * self.width + x]
    }
}

impl<T> std::ops::IndexMut<(usize, usize)> for Raster<T> {
    /// Pixel (x, y).
    #[inline]
    fn index_mut(&mut self, (x, y): (usize, usize)) -> &mut T {
        debug_assert!(x < self.width && y < self.height);
        &mut self.data[y * self.width + x]
    }
}
