//! Rectangles onto pages.
//!
//! Skyline bottom-left (Jylänki, "A Thousand Ways to Pack the Bin", 2010,
//! section 5), rectangles in order of falling height.

/// Where a rectangle went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) page: u16,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

/// Upper border of what a page holds, from left to right.
struct Skyline {
    side: u32,
    /// (x, y, width)
    steps: Vec<(u32, u32, u32)>,
}

impl Skyline {
    /// Lowest place for w × h: (y of the top, step index, x, y).
    fn find(&self, w: u32, h: u32) -> Option<(u32, usize, u32, u32)> {
        let mut best: Option<(u32, usize, u32, u32)> = None;
        for i in 0..self.steps.len() {
            let x = self.steps[i].0;
            if x + w > self.side {
                break;
            }
            let (mut y, mut left, mut j) = (0, w, i);
            while left > 0 {
                y = y.max(self.steps[j].1);
                left -= left.min(self.steps[j].2);
                j += 1;
            }
            if y + h <= self.side && best.is_none_or(|b| y + h < b.0) {
                best = Some((y + h, i, x, y));
            }
        }
        best
    }

    fn put(&mut self, index: usize, x: u32, top: u32, w: u32) {
        self.steps.insert(index, (x, top, w));
        let end = x + w;
        let next = index + 1;
        while next < self.steps.len() {
            let (sx, sy, sw) = self.steps[next];
            if sx >= end {
                break;
            }
            if sx + sw <= end {
                self.steps.remove(next);
            } else {
                self.steps[next] = (end, sy, sx + sw - end);
                break;
            }
        }
        let mut k = index.saturating_sub(1);
        while k + 1 < self.steps.len() && k <= next {
            if self.steps[k].1 == self.steps[k + 1].1 {
                self.steps[k].2 += self.steps[k + 1].2;
                self.steps.remove(k + 1);
            } else {
                k += 1;
            }
        }
    }
}

/// Places all rectangles (width, height) on square pages of the given side;
/// the places and the number of pages. `None` where one is larger than a page
/// or there would be more than `u16` can count.
pub(crate) fn pack(sizes: &[(u32, u32)], side: u32) -> Option<(Vec<Place>, usize)> {
    if sizes.iter().any(|&(w, h)| w > side || h > side) {
        return None;
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse((sizes[i].1, sizes[i].0)), i));
    let mut pages: Vec<Skyline> = Vec::new();
    let mut places = vec![
        Place {
            page: 0,
            x: 0,
            y: 0
        };
        sizes.len()
    ];
    for i in order {
        let (w, h) = sizes[i];
        let found = pages
            .iter()
            .enumerate()
            .find_map(|(page, s)| s.find(w, h).map(|f| (page, f)));
        let (page, (top, index, x, y)) = if let Some(found) = found {
            found
        } else {
            pages.push(Skyline {
                side,
                steps: vec![(0, 0, side)],
            });
            (pages.len() - 1, (h, 0, 0, 0))
        };
        pages[page].put(index, x, top, w);
        places[i] = Place {
            page: u16::try_from(page).ok()?,
            x,
            y,
        };
    }
    Some((places, pages.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_stay_inside_and_apart() {
        let sizes: Vec<(u32, u32)> = (0..700_u32)
            .map(|i| (3 + i * 7919 % 61, 2 + i * 104_729 % 53))
            .collect();
        let (places, pages) = pack(&sizes, 256).unwrap();
        let mut taken = vec![vec![false; 256 * 256]; pages];
        for (p, (w, h)) in places.iter().zip(&sizes) {
            for y in p.y..p.y + h {
                for x in p.x..p.x + w {
                    let t = &mut taken[usize::from(p.page)][(y * 256 + x) as usize];
                    assert!(!*t, "overlap");
                    *t = true;
                }
            }
        }
        let area: u32 = sizes.iter().map(|(w, h)| w * h).sum();
        let used = f64::from(area) / (pages as f64 * 65536.0);
        assert!(used > 0.75, "{used}");
        assert!(pack(&[(300, 2)], 256).is_none());
        assert_eq!(pack(&[], 256).unwrap().1, 0);
    }
}
