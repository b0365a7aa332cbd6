//! The rows that an octave starts from.

#![expect(
    unsafe_code,
    reason = "calls kernels compiled for a detected instruction set"
)]

use crate::blur::grey;
use crate::simd::{InstructionSet, multiversion};
use relievo_image::Raster;

/// Where an octave's rows come from.
pub(crate) enum Source<'a> {
    /// The photo's luma, at its own size or doubled.
    Photo {
        /// The photo.
        photo: &'a Raster<[u8; 3]>,
        /// At twice its size.
        doubled: bool,
        /// Two rows of luma at the photo's own size.
        rows: [Vec<f32>; 2],
        /// Kernels that run.
        set: InstructionSet,
    },
    /// A level of the octave before, every second pixel of it.
    Level(Raster<f32>),
}

impl<'a> Source<'a> {
    /// The first octave of `photo`.
    pub(crate) fn new(photo: &'a Raster<[u8; 3]>, doubled: bool, set: InstructionSet) -> Self {
        let row = vec![0.0; photo.width()];
        Self::Photo {
            photo,
            doubled,
            rows: [row.clone(), row],
            set,
        }
    }

    /// Columns.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Photo { photo, doubled, .. } => photo.width() << usize::from(*doubled),
            Self::Level(level) => level.width(),
        }
    }

    /// Rows.
    pub(crate) fn height(&self) -> usize {
        match self {
            Self::Photo { photo, doubled, .. } => photo.height() << usize::from(*doubled),
            Self::Level(level) => level.height(),
        }
    }

    /// Writes row y. Pixel i lies at i of the photo, or at i / 2 where doubled.
    pub(crate) fn fill(&mut self, y: usize, out: &mut [f32]) {
        match self {
            Self::Level(level) => out.copy_from_slice(level.row(y)),
            Self::Photo {
                photo,
                doubled: false,
                set,
                ..
            } => grey(*set, photo.row(y), out),
            Self::Photo {
                photo,
                doubled: true,
                rows: [a, b],
                set,
            } => {
                // Linear interpolation: odd pixels lie midway.
                grey(*set, photo.row(y / 2), a);
                if y % 2 == 1 {
                    let below = (y / 2 + 1).min(photo.height() - 1);
                    grey(*set, photo.row(below), b);
                    for (a, b) in a.iter_mut().zip(b) {
                        *a = 0.5 * (*a + *b);
                    }
                }
                double(*set, a, out);
            }
        }
    }
}

#[inline(always)]
fn double_body<const FMA: bool>(row: &[f32], out: &mut [f32]) {
    let pairs = out.as_chunks_mut::<2>().0;
    for (pair, (a, next)) in pairs.iter_mut().zip(row.iter().zip(&row[1..])) {
        *pair = [0.5 * (a + a), 0.5 * (a + next)];
    }
    if let (Some(pair), Some(a)) = (pairs.last_mut(), row.last()) {
        *pair = [0.5 * (a + a); 2];
    }
}

multiversion! {
    /// A row at twice its size; the last pixel is repeated.
    fn double(row: &[f32], out: &mut [f32]) = double_body
}
