//! Points in the order they were made, on disk where they are too many.

use crate::error::MvsError;
use bytemuck::Pod;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

/// Holds at most so many points; all go to a file without a name when they are more, which the
/// system removes with the program.
#[derive(Debug)]
pub(crate) struct PointStore<'a, T> {
    folder: &'a Path,
    most_held: usize,
    held: Vec<T>,
    spilled: usize,
    file: Option<File>,
}

impl<'a, T: Pod> PointStore<'a, T> {
    /// An empty one that holds `most_held` points and makes its file in `folder`.
    pub(crate) fn new(folder: &'a Path, most_held: usize) -> Self {
        Self {
            folder,
            most_held,
            held: Vec::new(),
            spilled: 0,
            file: None,
        }
    }

    /// Number of points.
    pub(crate) fn len(&self) -> usize {
        self.spilled + self.held.len()
    }

    /// Most points that work on it should hold at a time.
    pub(crate) fn most_held(&self) -> usize {
        self.most_held.max(1)
    }

    /// Where its file is.
    pub(crate) fn folder(&self) -> &'a Path {
        self.folder
    }

    /// Adds points at the end.
    pub(crate) fn add(&mut self, points: &[T]) -> Result<(), MvsError> {
        if self.held.len() + points.len() > self.most_held {
            self.spill(points).map_err(MvsError::Scratch)
        } else {
            self.held.extend_from_slice(points);
            Ok(())
        }
    }

    /// Writes all that is held, then `points`.
    fn spill(&mut self, points: &[T]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(self.folder)?),
        };
        file.seek(io::SeekFrom::End(0))?;
        file.write_all(bytemuck::cast_slice(&self.held))?;
        file.write_all(bytemuck::cast_slice(points))?;
        self.spilled += self.held.len() + points.len();
        self.held.clear();
        Ok(())
    }

    /// All points if all are held.
    pub(crate) fn all_held(&self) -> Option<&[T]> {
        self.file.is_none().then_some(&self.held[..])
    }

    /// Gives `take` all points in order, `most` at a time, with the index of the first.
    pub(crate) fn for_each_block(
        &self,
        most: usize,
        mut take: impl FnMut(usize, &[T]) -> Result<(), MvsError>,
    ) -> Result<(), MvsError> {
        let most = most.max(1);
        let mut first = 0;
        if let Some(mut file) = self.file.as_ref() {
            file.rewind().map_err(MvsError::Scratch)?;
            let mut reader = BufReader::with_capacity(1 << 18, file);
            let mut block = vec![T::zeroed(); most.min(self.spilled)];
            while first < self.spilled {
                let count = (self.spilled - first).min(most);
                let block = &mut block[..count];
                reader
                    .read_exact(bytemuck::cast_slice_mut(block))
                    .map_err(MvsError::Scratch)?;
                take(first, block)?;
                first += count;
            }
        }
        for block in self.held.chunks(most) {
            take(first, block)?;
            first += block.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_in_order_from_memory_and_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<[f32; 10]> = (0..70_001).map(|k| [k as f32; 10]).collect();
        for most_held in [0, 1, 7, 999, 70_000, 70_001] {
            let mut store = PointStore::new(folder.path(), most_held);
            for some in all.chunks(1000) {
                store.add(some).unwrap();
                assert!(store.held.len() <= most_held);
            }
            assert_eq!(store.len(), all.len());
            assert_eq!(store.all_held().is_some(), most_held > 70_000);
            for most in [1, 4096, 1 << 20] {
                let mut seen = Vec::new();
                let take = |first: usize, block: &[[f32; 10]]| {
                    assert!(first == seen.len() && block.len() <= most && !block.is_empty());
                    seen.extend_from_slice(block);
                    Ok(())
                };
                store.for_each_block(most, take).unwrap();
                assert!(seen == all, "{most_held} {most}");
            }
        }
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_of_the_disk() {
        let mut store = PointStore::new(Path::new("/nowhere/at/all"), 0);
        let error = store.add(&[1_u32]).unwrap_err();
        assert!(matches!(error, MvsError::Scratch(_)), "{error}");
    }
}
