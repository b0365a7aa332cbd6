//! Fused points in the order they were made, on disk where they are too many.

use crate::error::MvsError;
use crate::fused::Fused;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

/// Points read from disk at a time.
const BLOCK: usize = 1 << 14;

/// Holds at most so many points; all go to a file without a name when they are more, which the
/// system removes with the program.
#[derive(Debug)]
pub(crate) struct PointStore<'a> {
    folder: &'a Path,
    most_held: usize,
    held: Vec<Fused>,
    spilled: usize,
    file: Option<File>,
}

impl<'a> PointStore<'a> {
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
        self.most_held
    }

    /// Adds points at the end.
    pub(crate) fn add(&mut self, points: &[Fused]) -> Result<(), MvsError> {
        if self.held.len() + points.len() > self.most_held {
            self.spill(points).map_err(MvsError::Scratch)
        } else {
            self.held.extend_from_slice(points);
            Ok(())
        }
    }

    /// Writes all that is held, then `points`.
    fn spill(&mut self, points: &[Fused]) -> io::Result<()> {
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
    pub(crate) fn all_held(&self) -> Option<&[Fused]> {
        self.file.is_none().then_some(&self.held[..])
    }

    /// Gives `take` all points in order, with the index of each.
    pub(crate) fn for_each(&self, mut take: impl FnMut(u32, &Fused)) -> Result<(), MvsError> {
        let mut index = 0;
        if let Some(mut file) = self.file.as_ref() {
            let mut read = || -> io::Result<()> {
                file.rewind()?;
                let mut reader = BufReader::with_capacity(1 << 18, file);
                let mut block = vec![bytemuck::Zeroable::zeroed(); BLOCK];
                while (index as usize) < self.spilled {
                    let count = (self.spilled - index as usize).min(BLOCK);
                    reader.read_exact(bytemuck::cast_slice_mut(&mut block[..count]))?;
                    for point in &block[..count] {
                        take(index, point);
                        index += 1;
                    }
                }
                Ok(())
            };
            read().map_err(MvsError::Scratch)?;
        }
        for point in &self.held {
            take(index, point);
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(k: usize) -> Fused {
        Fused {
            footprint: k as f32,
            view: k as u32,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    #[test]
    fn points_come_back_in_order_from_memory_and_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<Fused> = (0..70_001).map(point).collect();
        for most_held in [0, 1, 7, 999, 70_000, 70_001] {
            let mut store = PointStore::new(folder.path(), most_held);
            for some in all.chunks(1000) {
                store.add(some).unwrap();
                assert!(store.held.len() <= most_held);
            }
            assert_eq!(store.len(), all.len());
            assert_eq!(store.all_held().is_some(), most_held > 70_000);
            for _ in 0..2 {
                let mut seen = Vec::new();
                store
                    .for_each(|index, p| {
                        assert_eq!(index as usize, seen.len());
                        seen.push(*p);
                    })
                    .unwrap();
                assert!(seen == all, "{most_held}");
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_of_the_disk() {
        let mut store = PointStore::new(Path::new("/nowhere/at/all"), 0);
        let error = store.add(&[point(1)]).unwrap_err();
        assert!(matches!(error, MvsError::Scratch(_)), "{error}");
    }
}
