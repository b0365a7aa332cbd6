//! Rays and nearest surface points, on a bounding volume hierarchy.
//!
//! Binned surface-area heuristic: Wald, "On fast Construction of SAH-based
//! Bounding Volume Hierarchies", 2007. Ray test without cracks along shared
//! edges: Woop, Benthin & Wald, "Watertight Ray/Triangle Intersection", JCGT
//! 2013. Nearest point on a triangle: Ericson, "Real-Time Collision
//! Detection", 2005, section 5.1.5.

use relievo_scene::TriMesh;

/// Where a ray meets the surface first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayHit {
    /// In lengths of the ray's direction.
    pub t: f32,
    /// Face index in the mesh.
    pub face: u32,
    /// Barycentric weight of the second corner.
    pub u: f32,
    /// Barycentric weight of the third corner.
    pub v: f32,
}

/// The surface point nearest to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfacePoint {
    /// Distance to the query.
    pub distance: f32,
    /// Face index in the mesh.
    pub face: u32,
    /// The point.
    pub point: [f32; 3],
}

const LEAF: usize = 4;
const BINS: usize = 16;
/// Below this depth ranges are halved by count, which bounds the stack.
const SAH_DEPTH: usize = 40;
const STACK: usize = 80;
/// Ranges larger than this are built on two threads.
const PARALLEL: usize = 8192;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    min: [f32; 3],
    /// Leaf: first triangle. Inner: index of the right child (the left one
    /// follows the node).
    at: u32,
    max: [f32; 3],
    /// Triangles of a leaf; 0 for an inner node.
    count: u32,
}

/// A static hierarchy over the triangles of a mesh (it keeps its own copy).
///
/// Both sides of a face are hit. Among hits at equal distance the lowest face
/// index wins, so answers do not depend on the tree. Triangles that are not
/// finite, or whose indices lie outside, are never found; rays and points that
/// are not finite find nothing.
#[derive(Debug)]
pub struct TriangleBvh {
    nodes: Vec<Node>,
    corners: Vec<[[f32; 3]; 3]>,
    faces: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Item {
    min: [f32; 3],
    max: [f32; 3],
    face: u32,
}

impl Item {
    fn center(&self, axis: usize) -> f32 {
        0.5 * self.min[axis] + 0.5 * self.max[axis]
    }
}

impl TriangleBvh {
    /// Builds the hierarchy; parallel.
    pub fn new(mesh: &TriMesh) -> Self {
        let corners_of = |face: u32| {
            mesh.triangles[face as usize].map(|v| {
                mesh.positions
                    .get(v as usize)
                    .copied()
                    .unwrap_or([f32::NAN; 3])
            })
        };
        let mut items: Vec<Item> = (0..mesh.triangles.len() as u32)
            .filter_map(|face| {
                let c = corners_of(face);
                c.iter().flatten().all(|v| v.is_finite()).then(|| Item {
                    min: std::array::from_fn(|k| c[0][k].min(c[1][k]).min(c[2][k])),
                    max: std::array::from_fn(|k| c[0][k].max(c[1][k]).max(c[2][k])),
                    face,
                })
            })
            .collect();
        let mut nodes = vec![Node::default(); (2 * items.len()).saturating_sub(1)];
        if !items.is_empty() {
            build(&mut items, &mut nodes, 0, 0, 0);
        }
        Self {
            nodes,
            corners: items.iter().map(|i| corners_of(i.face)).collect(),
            faces: items.iter().map(|i| i.face).collect(),
        }
    }

    /// True where nothing can be hit.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The first hit at t > 0.
    pub fn cast(&self, origin: [f32; 3], direction: [f32; 3]) -> Option<RayHit> {
        self.cast_within(origin, direction, 0.0, f32::INFINITY)
    }

    /// The first hit at `t_min` < t < `t_max`.
    pub fn cast_within(
        &self,
        origin: [f32; 3],
        direction: [f32; 3],
        t_min: f32,
        t_max: f32,
    ) -> Option<RayHit> {
        let ray = Ray::new(origin, direction)?;
        let mut best: Option<RayHit> = None;
        let mut limit = t_max;
        let mut stack = [(0_u32, 0.0_f32); STACK];
        let mut top = 0;
        if let Some(root) = self.nodes.first()
            && let Some(enter) = ray.enters(root, limit)
        {
            stack[0] = (0, enter);
            top = 1;
        }
        while top > 0 {
            top -= 1;
            let (index, enter) = stack[top];
            if enter > limit {
                continue;
            }
            let node = &self.nodes[index as usize];
            if node.count > 0 {
                for k in node.at as usize..(node.at + node.count) as usize {
                    let Some(mut hit) = ray.meets(&self.corners[k]) else {
                        continue;
                    };
                    hit.face = self.faces[k];
                    let better = match &best {
                        None => hit.t < limit,
                        Some(b) => hit.t < b.t || (hit.t == b.t && hit.face < b.face),
                    };
                    if hit.t > t_min && better {
                        limit = hit.t;
                        best = Some(hit);
                    }
                }
            } else {
                let (left, right) = (index + 1, node.at);
                let a = ray.enters(&self.nodes[left as usize], limit);
                let b = ray.enters(&self.nodes[right as usize], limit);
                let mut push = |child, enter| {
                    stack[top] = (child, enter);
                    top += 1;
                };
                match (a, b) {
                    (Some(a), Some(b)) if a <= b => {
                        push(right, b);
                        push(left, a);
                    }
                    (Some(a), Some(b)) => {
                        push(left, a);
                        push(right, b);
                    }
                    (Some(a), None) => push(left, a),
                    (None, Some(b)) => push(right, b),
                    (None, None) => {}
                }
            }
        }
        best
    }

    /// Distance from a point to the surface; infinite for an empty mesh or a
    /// point that is not finite.
    pub fn distance(&self, point: [f32; 3]) -> f32 {
        self.closest(point).map_or(f32::INFINITY, |c| c.distance)
    }

    /// The nearest surface point.
    pub fn closest(&self, point: [f32; 3]) -> Option<SurfacePoint> {
        self.closest_within(point, f32::INFINITY)
    }

    /// The nearest surface point at most `reach` away.
    pub fn closest_within(&self, point: [f32; 3], reach: f32) -> Option<SurfacePoint> {
        if !point.iter().all(|v| v.is_finite()) || self.nodes.is_empty() || reach.is_nan() {
            return None;
        }
        let mut best: Option<(f32, u32, [f32; 3])> = None;
        let mut limit = reach * reach;
        let mut stack = [(0_u32, 0.0_f32); STACK];
        stack[0] = (0, box_distance_squared(&self.nodes[0], point));
        let mut top = 1;
        while top > 0 {
            top -= 1;
            let (index, near) = stack[top];
            if near > limit {
                continue;
            }
            let node = &self.nodes[index as usize];
            if node.count > 0 {
                for k in node.at as usize..(node.at + node.count) as usize {
                    // Relative to the query, so that far frames lose nothing.
                    let c = self.corners[k].map(|c| sub(c, point));
                    let q = closest_to_origin(&c);
                    let d = dot(q, q);
                    let face = self.faces[k];
                    let better = match best {
                        None => d <= limit,
                        Some((b, f, _)) => d < b || (d == b && face < f),
                    };
                    if better {
                        limit = d;
                        best = Some((d, face, q));
                    }
                }
            } else {
                let (left, right) = (index + 1, node.at);
                let a = box_distance_squared(&self.nodes[left as usize], point);
                let b = box_distance_squared(&self.nodes[right as usize], point);
                let order = if a <= b {
                    [(right, b), (left, a)]
                } else {
                    [(left, a), (right, b)]
                };
                for (child, near) in order {
                    if near <= limit {
                        stack[top] = (child, near);
                        top += 1;
                    }
                }
            }
        }
        best.map(|(d, face, q)| SurfacePoint {
            distance: d.sqrt(),
            face,
            point: std::array::from_fn(|k| point[k] + q[k]),
        })
    }
}

/// Fills `nodes[0]` and its subtree for `items`; `nodes` begins at index
/// `base` of the whole array, `items` at `first`.
fn build(items: &mut [Item], nodes: &mut [Node], base: usize, first: usize, depth: usize) {
    let mut node = Node {
        min: [f32::INFINITY; 3],
        max: [f32::NEG_INFINITY; 3],
        ..Node::default()
    };
    for item in items.iter() {
        grow(&mut node.min, &mut node.max, item);
    }
    if items.len() <= LEAF {
        node.at = first as u32;
        node.count = items.len() as u32;
        nodes[0] = node;
        return;
    }
    let split = split_at(items, depth);
    // The left subtree has at most 2·split − 1 nodes.
    let right = 2 * split;
    node.at = (base + right) as u32;
    nodes[0] = node;
    let (left_items, right_items) = items.split_at_mut(split);
    let (left_nodes, right_nodes) = nodes[1..].split_at_mut(right - 1);
    let big = left_items.len() + right_items.len() > PARALLEL;
    let mut left = || build(left_items, left_nodes, base + 1, first, depth + 1);
    let mut right = || {
        build(
            right_items,
            right_nodes,
            base + right,
            first + split,
            depth + 1,
        );
    };
    if big {
        rayon::join(left, right);
    } else {
        left();
        right();
    }
}

fn grow(min: &mut [f32; 3], max: &mut [f32; 3], item: &Item) {
    for k in 0..3 {
        min[k] = min[k].min(item.min[k]);
        max[k] = max[k].max(item.max[k]);
    }
}

/// Reorders the items so that the first part goes left; its length is in
/// 1..len.
fn split_at(items: &mut [Item], depth: usize) -> usize {
    let mut low = [f32::INFINITY; 3];
    let mut high = [f32::NEG_INFINITY; 3];
    for item in items.iter() {
        for k in 0..3 {
            low[k] = low[k].min(item.center(k));
            high[k] = high[k].max(item.center(k));
        }
    }
    let extent: [f32; 3] = std::array::from_fn(|k| high[k] - low[k]);
    let longest = (0..3).fold(0, |a, k| if extent[k] > extent[a] { k } else { a });
    let mut best: Option<(f32, usize, usize)> = None;
    if depth < SAH_DEPTH {
        for axis in 0..3 {
            if extent[axis].is_nan() || extent[axis] <= 0.0 {
                continue;
            }
            let scale = BINS as f32 / extent[axis];
            if let Some((cost, bin)) = best_bin(items, axis, low[axis], scale)
                && best.is_none_or(|(c, ..)| cost < c)
            {
                best = Some((cost, axis, bin));
            }
        }
    }
    if let Some((_, axis, bin)) = best {
        let scale = BINS as f32 / extent[axis];
        let mut left = 0;
        for i in 0..items.len() {
            if bin_of(&items[i], axis, low[axis], scale) <= bin {
                items.swap(i, left);
                left += 1;
            }
        }
        if left > 0 && left < items.len() {
            return left;
        }
    }
    let middle = items.len() / 2;
    items.select_nth_unstable_by(middle, |a, b| {
        a.center(longest)
            .total_cmp(&b.center(longest))
            .then(a.face.cmp(&b.face))
    });
    middle
}

fn bin_of(item: &Item, axis: usize, low: f32, scale: f32) -> usize {
    (((item.center(axis) - low) * scale) as usize).min(BINS - 1)
}

/// The cheapest border (last bin on the left) by surface area × count.
fn best_bin(items: &[Item], axis: usize, low: f32, scale: f32) -> Option<(f32, usize)> {
    let empty = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3], 0_usize);
    let mut bins = [empty; BINS];
    for item in items {
        let (min, max, count) = &mut bins[bin_of(item, axis, low, scale)];
        grow(min, max, item);
        *count += 1;
    }
    let join = |a: ([f32; 3], [f32; 3], usize), b: ([f32; 3], [f32; 3], usize)| {
        (
            std::array::from_fn(|k| a.0[k].min(b.0[k])),
            std::array::from_fn(|k| a.1[k].max(b.1[k])),
            a.2 + b.2,
        )
    };
    let cost = |b: &([f32; 3], [f32; 3], usize)| {
        if b.2 == 0 {
            return 0.0;
        }
        let d: [f32; 3] = std::array::from_fn(|k| b.1[k] - b.0[k]);
        (d[0] * d[1] + d[1] * d[2] + d[2] * d[0]) * b.2 as f32
    };
    let mut right = [empty; BINS];
    right[BINS - 1] = bins[BINS - 1];
    for k in (0..BINS - 1).rev() {
        right[k] = join(bins[k], right[k + 1]);
    }
    let mut left = empty;
    let mut best: Option<(f32, usize)> = None;
    for k in 0..BINS - 1 {
        left = join(left, bins[k]);
        if left.2 == 0 || right[k + 1].2 == 0 {
            continue;
        }
        let c = cost(&left) + cost(&right[k + 1]);
        if best.is_none_or(|(b, _)| c < b) {
            best = Some((c, k));
        }
    }
    best
}

struct Ray {
    origin: [f32; 3],
    inverse: [f32; 3],
    /// Axes permuted so that the direction is largest along the last.
    axes: [usize; 3],
    shear: [f32; 3],
}

impl Ray {
    fn new(origin: [f32; 3], d: [f32; 3]) -> Option<Self> {
        let finite = origin.iter().chain(&d).all(|v| v.is_finite());
        let kz = (0..3).fold(0, |a, k| if d[k].abs() > d[a].abs() { k } else { a });
        if !finite || d[kz] == 0.0 {
            return None;
        }
        let (mut kx, mut ky) = ((kz + 1) % 3, (kz + 2) % 3);
        if d[kz] < 0.0 {
            std::mem::swap(&mut kx, &mut ky);
        }
        Some(Self {
            origin,
            // Finite: 0 · ∞ would be NaN where a ray runs along the side of a box.
            inverse: d.map(|v| (1.0 / v).clamp(-f32::MAX, f32::MAX)),
            axes: [kx, ky, kz],
            shear: [d[kx] / d[kz], d[ky] / d[kz], 1.0 / d[kz]],
        })
    }

    /// Where the ray enters the box, conservatively; `None` for a miss.
    #[inline]
    fn enters(&self, node: &Node, limit: f32) -> Option<f32> {
        let mut near = 0.0_f32;
        let mut far = limit;
        for k in 0..3 {
            let a = (node.min[k] - self.origin[k]) * self.inverse[k];
            let b = (node.max[k] - self.origin[k]) * self.inverse[k];
            near = near.max(a.min(b));
            // Rounding must never lose a hit (Ize 2013).
            far = far.min(a.max(b) * (1.0 + 4.0 * f32::EPSILON));
        }
        (near <= far).then_some(near)
    }

    #[inline]
    fn meets(&self, c: &[[f32; 3]; 3]) -> Option<RayHit> {
        let [kx, ky, kz] = self.axes;
        let [sx, sy, sz] = self.shear;
        let local = c.map(|p| {
            let q = sub(p, self.origin);
            [q[kx] - sx * q[kz], q[ky] - sy * q[kz], q[kz] * sz]
        });
        let cross = |a: usize, b: usize| {
            let [p, q] = [local[a], local[b]];
            let e = p[0] * q[1] - p[1] * q[0];
            if e == 0.0 {
                // The edge is decided by the sign in double precision.
                (f64::from(p[0]) * f64::from(q[1]) - f64::from(p[1]) * f64::from(q[0])) as f32
            } else {
                e
            }
        };
        let (u, v, w) = (cross(1, 2), cross(2, 0), cross(0, 1));
        if (u < 0.0 || v < 0.0 || w < 0.0) && (u > 0.0 || v > 0.0 || w > 0.0) {
            return None;
        }
        let det = u + v + w;
        if det == 0.0 || !det.is_finite() {
            return None;
        }
        let inv = 1.0 / det;
        let t = (u * local[0][2] + v * local[1][2] + w * local[2][2]) * inv;
        t.is_finite().then_some(RayHit {
            t,
            face: 0,
            u: v * inv,
            v: w * inv,
        })
    }
}

fn box_distance_squared(node: &Node, p: [f32; 3]) -> f32 {
    let mut sum = 0.0;
    for k in 0..3 {
        let d = (node.min[k] - p[k]).max(p[k] - node.max[k]).max(0.0);
        sum += d * d;
    }
    // The exact distance to a triangle may round to slightly less.
    sum * (1.0 - 4.0 * f32::EPSILON)
}

fn sub(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn along(a: [f32; 3], d: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|k| a[k] + t * d[k])
}

/// The point of the triangle nearest to the origin (Ericson 5.1.5); for a
/// degenerate triangle the nearest point of its longest parts.
fn closest_to_origin(&[a, b, c]: &[[f32; 3]; 3]) -> [f32; 3] {
    let (ab, ac) = (sub(b, a), sub(c, a));
    let ratio = |n: f32, d: f32| {
        if d > 0.0 {
            (n / d).clamp(0.0, 1.0)
        } else {
            0.0
        }
    };
    let (d1, d2) = (-dot(ab, a), -dot(ac, a));
    if d1 <= 0.0 && d2 <= 0.0 {
        return a;
    }
    let (d3, d4) = (-dot(ab, b), -dot(ac, b));
    if d3 >= 0.0 && d4 <= d3 {
        return b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return along(a, ab, ratio(d1, d1 - d3));
    }
    let (d5, d6) = (-dot(ab, c), -dot(ac, c));
    if d6 >= 0.0 && d5 <= d6 {
        return c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return along(a, ac, ratio(d2, d2 - d6));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 {
        return along(b, sub(c, b), ratio(d4 - d3, (d4 - d3) + (d5 - d6)));
    }
    let sum = va + vb + vc;
    if sum.is_nan() || sum <= 0.0 {
        return a;
    }
    let (v, w) = (vb / sum, vc / sum);
    std::array::from_fn(|k| a[k] + ab[k] * v + ac[k] * w)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u32, k: u32) -> f32 {
        let mut x = i.wrapping_mul(0x9E37_79B9) ^ k.wrapping_mul(0x85EB_CA6B);
        x ^= x >> 15;
        x = x.wrapping_mul(0x2C1B_3C6D);
        x ^= x >> 12;
        x = x.wrapping_mul(0x297A_2D39);
        (x >> 8) as f32 / (1 << 24) as f32
    }

    fn soup(n: u32) -> TriMesh {
        let mut mesh = TriMesh::default();
        for i in 0..n {
            let at: [f32; 3] = std::array::from_fn(|k| hash(i, k as u32) * 10.0);
            for c in 0..3_u32 {
                mesh.positions.push(std::array::from_fn(|k| {
                    at[k] + hash(i, 9 + 3 * c + k as u32)
                }));
            }
            mesh.triangles.push([3 * i, 3 * i + 1, 3 * i + 2]);
        }
        mesh
    }

    fn sheet(n: u32) -> TriMesh {
        let mut mesh = TriMesh::default();
        for y in 0..=n {
            for x in 0..=n {
                mesh.positions
                    .push([x as f32 * 0.37, y as f32 * 0.41, hash(x, y) * 0.3]);
            }
        }
        for y in 0..n {
            for x in 0..n {
                let i = y * (n + 1) + x;
                mesh.triangles.push([i, i + 1, i + n + 2]);
                mesh.triangles.push([i, i + n + 2, i + n + 1]);
            }
        }
        mesh
    }

    #[test]
    fn casting_agrees_with_every_triangle_tested() {
        let mesh = soup(3000);
        let bvh = TriangleBvh::new(&mesh);
        let mut hits = 0;
        for i in 0..500 {
            let o: [f32; 3] = std::array::from_fn(|k| hash(i, 40 + k as u32) * 12.0 - 1.0);
            let mut d: [f32; 3] = std::array::from_fn(|k| hash(i, 50 + k as u32) - 0.5);
            if i % 5 == 0 {
                d = [0.0, 0.0, -2.0];
            }
            let ray = Ray::new(o, d).unwrap();
            let mut brute: Option<RayHit> = None;
            for (f, t) in mesh.triangles.iter().enumerate() {
                if let Some(mut h) = ray.meets(&t.map(|v| mesh.positions[v as usize]))
                    && h.t > 0.0
                    && brute.is_none_or(|b| h.t < b.t)
                {
                    h.face = f as u32;
                    brute = Some(h);
                }
            }
            assert_eq!(bvh.cast(o, d), brute);
            hits += usize::from(brute.is_some());
            if let Some(h) = brute {
                let c = mesh.triangles[h.face as usize].map(|v| mesh.positions[v as usize]);
                for k in 0..3 {
                    let on = c[0][k] * (1.0 - h.u - h.v) + c[1][k] * h.u + c[2][k] * h.v;
                    assert!((on - (o[k] + h.t * d[k])).abs() < 2e-4);
                }
            }
        }
        assert!(hits > 200);
    }

    #[test]
    fn distance_agrees_with_every_triangle_tested() {
        let mesh = soup(2000);
        let bvh = TriangleBvh::new(&mesh);
        for i in 0..300 {
            let p: [f32; 3] = std::array::from_fn(|k| hash(i, 60 + k as u32) * 14.0 - 2.0);
            let brute = mesh
                .triangles
                .iter()
                .map(|t| {
                    let q = closest_to_origin(&t.map(|v| sub(mesh.positions[v as usize], p)));
                    dot(q, q)
                })
                .fold(f32::INFINITY, f32::min)
                .sqrt();
            assert_eq!(bvh.distance(p), brute);
            let near = bvh.closest(p).unwrap();
            let d = sub(near.point, p);
            assert!((dot(d, d).sqrt() - near.distance).abs() < 1e-4);
            assert!(bvh.closest_within(p, brute * 0.9).is_none() || brute == 0.0);
        }
    }

    #[test]
    fn closest_points_match_a_dense_sampling() {
        for i in 0..200 {
            let c: [[f32; 3]; 3] = std::array::from_fn(|a| {
                std::array::from_fn(|k| hash(i, (3 * a + k) as u32) * 2.0 - 1.0)
            });
            let q = closest_to_origin(&c);
            let mut best = f32::INFINITY;
            for a in 0..=60 {
                for b in 0..=60 - a {
                    let (u, v) = (a as f32 / 60.0, b as f32 / 60.0);
                    let p: [f32; 3] = std::array::from_fn(|k| {
                        c[0][k] * (1.0 - u - v) + c[1][k] * u + c[2][k] * v
                    });
                    best = best.min(dot(p, p).sqrt());
                }
            }
            let d = dot(q, q).sqrt();
            assert!(d <= best + 1e-5 && d > best - 0.05, "{i}: {d} {best}");
        }
    }

    #[test]
    fn no_ray_slips_through_the_edges_of_a_sheet() {
        let n = 40;
        let mesh = sheet(n);
        let bvh = TriangleBvh::new(&mesh);
        for i in 0..4000_u32 {
            // Aim exactly at vertices and edge middles inside the sheet.
            let t = mesh.triangles[(i as usize * 7) % mesh.triangles.len()];
            let [a, b] = [t[0], t[1]].map(|v| mesh.positions[v as usize]);
            let aim: [f32; 3] = std::array::from_fn(|k| {
                if i % 2 == 0 {
                    a[k]
                } else {
                    0.5 * (a[k] + b[k])
                }
            });
            let border = 0.5;
            if aim[0] < border
                || aim[1] < border
                || aim[0] > n as f32 * 0.37 - border
                || aim[1] > n as f32 * 0.41 - border
            {
                continue;
            }
            let o = [aim[0] + hash(i, 1) - 0.5, aim[1] + hash(i, 2) - 0.5, 7.0];
            // The second along the sides of the boxes around the faces.
            for o in [o, [aim[0], aim[1], 7.0]] {
                assert!(
                    bvh.cast(o, sub(aim, o)).is_some(),
                    "ray {i} slipped through"
                );
            }
        }
    }

    #[test]
    fn garbage_is_never_found() {
        let empty = TriangleBvh::new(&TriMesh::default());
        assert!(empty.cast([0.0; 3], [0.0, 0.0, 1.0]).is_none());
        assert!(empty.distance([0.0; 3]).is_infinite());
        let mesh = TriMesh {
            positions: vec![
                [0.0; 3],
                [1.0, 0.0, 0.0],
                [f32::NAN; 3],
                [0.0, 1.0, 0.0],
                [2.0, 0.0, 0.0],
            ],
            triangles: vec![[0, 1, 2], [0, 1, 4], [0, 1, 77], [0, 1, 3]],
            ..TriMesh::default()
        };
        let bvh = TriangleBvh::new(&mesh);
        assert_eq!(bvh.cast([0.2, 0.2, 1.0], [0.0, 0.0, -1.0]).unwrap().face, 3);
        assert!(bvh.cast([f32::NAN; 3], [0.0, 0.0, -1.0]).is_none());
        assert!(bvh.cast([0.2, 0.2, 1.0], [0.0; 3]).is_none());
        assert!((bvh.distance([3.0, 0.0, 0.0]) - 1.0).abs() < 1e-6);
        assert!(bvh.closest([f32::INFINITY, 0.0, 0.0]).is_none());
        // A thousand copies of one place still end.
        let many = TriMesh {
            positions: mesh.positions[..2]
                .iter()
                .chain([&[0.0, 1.0, 0.0]])
                .copied()
                .collect(),
            triangles: vec![[0, 1, 2]; 5000],
            ..TriMesh::default()
        };
        let bvh = TriangleBvh::new(&many);
        assert_eq!(bvh.cast([0.2, 0.2, 1.0], [0.0, 0.0, -1.0]).unwrap().face, 0);
    }
}
