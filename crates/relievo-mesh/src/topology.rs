//! What a mesh is: borders, components, Euler number.

use rayon::prelude::*;

/// Figures that say whether a mesh is a surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Vertices that a face uses.
    pub vertices: usize,
    /// Undirected edges.
    pub edges: usize,
    /// Faces.
    pub faces: usize,
    /// Edges with one face.
    pub border_edges: usize,
    /// Edges with more than two faces.
    pub nonmanifold_edges: usize,
    /// Edges whose two faces run along them in the same direction.
    pub flipped_edges: usize,
    /// Vertices whose faces are not one fan.
    pub nonmanifold_vertices: usize,
    /// Components by shared edges.
    pub components: usize,
}

impl Topology {
    /// V − E + F; 2 for a sphere, 0 for a torus.
    pub fn euler(&self) -> i64 {
        self.vertices as i64 - self.edges as i64 + self.faces as i64
    }

    /// No border, every edge two faces in opposite directions, every vertex one fan.
    pub fn is_closed_manifold(&self) -> bool {
        self.border_edges == 0 && self.is_manifold()
    }

    /// Like [`Self::is_closed_manifold`], borders allowed.
    pub fn is_manifold(&self) -> bool {
        self.nonmanifold_edges == 0 && self.flipped_edges == 0 && self.nonmanifold_vertices == 0
    }
}

/// Faces around each vertex, as one array.
pub(crate) struct VertexFaces {
    starts: Vec<u32>,
    faces: Vec<u32>,
}

impl VertexFaces {
    pub(crate) fn new(vertices: usize, triangles: &[[u32; 3]]) -> Self {
        let mut starts = vec![0u32; vertices + 1];
        for t in triangles {
            for &v in t {
                starts[v as usize + 1] += 1;
            }
        }
        for v in 0..vertices {
            starts[v + 1] += starts[v];
        }
        let mut next = starts.clone();
        let mut faces = vec![0u32; triangles.len() * 3];
        for (f, t) in triangles.iter().enumerate() {
            for &v in t {
                faces[next[v as usize] as usize] = f as u32;
                next[v as usize] += 1;
            }
        }
        Self { starts, faces }
    }

    /// Faces at `v`, ascending.
    pub(crate) fn faces(&self, v: usize) -> &[u32] {
        &self.faces[self.starts[v] as usize..self.starts[v + 1] as usize]
    }
}

/// A half-edge: its undirected edge and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HalfEdge {
    /// Lower vertex.
    pub(crate) low: u32,
    /// Higher vertex.
    pub(crate) high: u32,
    /// 3 · face + corner where it starts.
    pub(crate) slot: u32,
}

/// All half-edges, those of one edge side by side.
pub(crate) fn sorted_half_edges(triangles: &[[u32; 3]]) -> Vec<HalfEdge> {
    let mut edges: Vec<HalfEdge> = (0..triangles.len() * 3)
        .into_par_iter()
        .map(|slot| {
            let t = triangles[slot / 3];
            let (a, b) = (t[slot % 3], t[(slot + 1) % 3]);
            HalfEdge {
                low: a.min(b),
                high: a.max(b),
                slot: slot as u32,
            }
        })
        .collect();
    edges.par_sort_unstable();
    edges
}

/// Runs of half-edges with the same undirected edge.
pub(crate) fn edge_runs(edges: &[HalfEdge]) -> impl Iterator<Item = &[HalfEdge]> {
    edges.chunk_by(|a, b| a.low == b.low && a.high == b.high)
}

/// Disjoint sets whose representative is their least member.
pub(crate) struct Sets(Vec<u32>);

impl Sets {
    pub(crate) fn new(n: usize) -> Self {
        Self((0..n as u32).collect())
    }

    pub(crate) fn find(&mut self, mut x: u32) -> u32 {
        while self.0[x as usize] != x {
            let up = self.0[self.0[x as usize] as usize];
            self.0[x as usize] = up;
            x = up;
        }
        x
    }

    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.0[a.max(b) as usize] = a.min(b);
        }
    }
}

/// The figures of `triangles`. Vertex indices must be below `vertices`.
pub fn topology(vertices: usize, triangles: &[[u32; 3]]) -> Topology {
    let half_edges = sorted_half_edges(triangles);
    let mut faces = Sets::new(triangles.len());
    // Corners joined across manifold edges: a vertex is one fan where all its
    // corners fall into one set.
    let mut corners = Sets::new(triangles.len() * 3);
    let mut result = Topology {
        faces: triangles.len(),
        ..Topology::default()
    };
    let next = |slot: u32| slot / 3 * 3 + (slot + 1) % 3;
    for run in edge_runs(&half_edges) {
        result.edges += 1;
        for pair in run.windows(2) {
            faces.join(pair[0].slot / 3, pair[1].slot / 3);
        }
        match run {
            [_] => result.border_edges += 1,
            [a, b] => {
                let start = |s: u32| triangles[s as usize / 3][s as usize % 3];
                if start(a.slot) == start(b.slot) {
                    result.flipped_edges += 1;
                    corners.join(a.slot, b.slot);
                    corners.join(next(a.slot), next(b.slot));
                } else {
                    corners.join(a.slot, next(b.slot));
                    corners.join(next(a.slot), b.slot);
                }
            }
            _ => result.nonmanifold_edges += 1,
        }
    }
    result.components = (0..triangles.len() as u32)
        .filter(|&f| faces.find(f) == f)
        .count();
    let mut fans = vec![0u32; vertices];
    for slot in 0..triangles.len() as u32 * 3 {
        if corners.find(slot) == slot {
            fans[triangles[slot as usize / 3][slot as usize % 3] as usize] += 1;
        }
    }
    result.vertices = fans.iter().filter(|&&n| n > 0).count();
    result.nonmanifold_vertices = fans.iter().filter(|&&n| n > 1).count();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const TETRAHEDRON: [[u32; 3]; 4] = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]];

    #[test]
    fn a_tetrahedron_is_a_sphere() {
        let t = topology(4, &TETRAHEDRON);
        assert_eq!(t.euler(), 2);
        assert!(t.is_closed_manifold());
        assert_eq!(t.components, 1);
    }

    #[test]
    fn faults_are_counted() {
        let open = topology(4, &TETRAHEDRON[..3]);
        assert_eq!(open.border_edges, 3);
        assert!(open.is_manifold());
        let mut flipped = TETRAHEDRON;
        flipped[0] = [0, 1, 2];
        assert_eq!(topology(4, &flipped).flipped_edges, 3);
        // Two tetrahedra that share vertex 0 only.
        let mut two = TETRAHEDRON.to_vec();
        two.extend(TETRAHEDRON.map(|t| t.map(|v| if v == 0 { 0 } else { v + 3 })));
        let t = topology(7, &two);
        assert_eq!((t.nonmanifold_vertices, t.components), (1, 2));
        // Three faces on one edge.
        let fins = topology(5, &[[0, 1, 2], [1, 0, 3], [0, 1, 4]]);
        assert_eq!(fins.nonmanifold_edges, 1);
    }
}
