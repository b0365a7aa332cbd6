//! Where things are: nearest neighbours, robust bounds, ray casting and a
//! software rasteriser.
//!
//! Everything works in the frame and unit of its input, on `f32` points and
//! `relievo_scene` meshes. Results do not depend on the number of threads.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`kdtree`] | [`KdTree`]: nearest, k nearest, within a radius |
//! | [`bounds`] | [`Aabb`], boxes that strays cannot blow up |
//! | [`bvh`] | [`TriangleBvh`]: first hit of a ray, nearest surface point |
//! | [`faces`] | [`FaceBuffer`]: which face each pixel shows, by rasteriser or by rays |
//! | [`render`] | pictures of textured meshes, coloured meshes and clouds |

pub mod bounds;
pub mod bvh;
pub mod faces;
pub mod kdtree;
pub mod render;

pub use bounds::{Aabb, crowd_bounds, quantile_bounds};
pub use bvh::{RayHit, SurfacePoint, TriangleBvh};
pub use faces::{FaceBuffer, NO_FACE};
pub use kdtree::{KdTree, Neighbor};
pub use render::{RenderStyle, render_cloud, render_mesh, render_textured, sample_page};
