//! The views that may colour each face.

use crate::observe::Seen;

/// One view of one face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Index into the views.
    pub(crate) view: u16,
    /// See [`Seen`].
    pub(crate) quality: f32,
    pub(crate) color: [u8; 3],
}

/// Candidates by face, ascending by view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) starts: Vec<u32>,
    pub(crate) items: Vec<Candidate>,
}

/// Most candidates a face keeps: those of best quality.
const KEEP: usize = 16;

impl Candidates {
    /// Gathers what each view (in order) saw.
    pub(crate) fn gather(num_faces: usize, by_view: &[Vec<Seen>]) -> Self {
        let mut starts = vec![0_u32; num_faces + 1];
        for seen in by_view.iter().flatten() {
            starts[seen.face as usize + 1] += 1;
        }
        for f in 0..num_faces {
            starts[f + 1] += starts[f];
        }
        let blank = Candidate {
            view: 0,
            quality: 0.0,
            color: [0; 3],
        };
        let mut items = vec![blank; starts[num_faces] as usize];
        let mut next = starts.clone();
        for (view, seen) in by_view.iter().enumerate() {
            for s in seen {
                let at = &mut next[s.face as usize];
                items[*at as usize] = Candidate {
                    view: view as u16,
                    quality: s.quality,
                    color: s.color,
                };
                *at += 1;
            }
        }
        let mut gathered = Self { starts, items };
        gathered.retain(|list| {
            if list.len() <= KEEP {
                return vec![true; list.len()];
            }
            let mut order: Vec<usize> = (0..list.len()).collect();
            order.sort_by(|&a, &b| list[b].quality.total_cmp(&list[a].quality).then(a.cmp(&b)));
            let mut keep = vec![false; list.len()];
            for &i in &order[..KEEP] {
                keep[i] = true;
            }
            keep
        });
        gathered
    }

    /// Candidates of a face.
    #[inline]
    pub(crate) fn of(&self, face: usize) -> &[Candidate] {
        &self.items[self.range(face)]
    }

    /// Where a face's candidates lie in `items`.
    #[inline]
    pub(crate) fn range(&self, face: usize) -> std::ops::Range<usize> {
        self.starts[face] as usize..self.starts[face + 1] as usize
    }

    /// Number of faces.
    pub(crate) fn num_faces(&self) -> usize {
        self.starts.len() - 1
    }

    /// Keeps the candidates that `keep` (one flag each) says; returns how many
    /// went.
    pub(crate) fn retain(&mut self, keep: impl Fn(&[Candidate]) -> Vec<bool> + Sync) -> usize {
        use rayon::prelude::*;
        let flags: Vec<Vec<bool>> = (0..self.num_faces())
            .into_par_iter()
            .with_min_len(4096)
            .map(|f| keep(self.of(f)))
            .collect();
        let before = self.items.len();
        let mut items = Vec::with_capacity(before);
        let mut starts = Vec::with_capacity(self.starts.len());
        starts.push(0);
        for (f, flags) in flags.iter().enumerate() {
            let list = self.of(f);
            items.extend(list.iter().zip(flags).filter(|(_, k)| **k).map(|(c, _)| *c));
            starts.push(items.len() as u32);
        }
        self.items = items;
        self.starts = starts;
        before - self.items.len()
    }
}
