//! From a dense cloud to a clean surface.
//!
//! Enters: a [`relievo_scene::PointCloud`] with outward unit normals, in the
//! model's frame and unit. Leaves: a [`relievo_scene::TriMesh`] in the same
//! frame and unit, triangles counter-clockwise seen from outside. Sizes in the
//! options are relative to the cloud's own point spacing, so that nothing
//! depends on the unit.
//!
//! The whole chain is [`surface()`]; its steps stand alone.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`spacing`] | point spacing; the root cube of the points that matter |
//! | [`poisson`] | screened Poisson reconstruction: [`reconstruct`] |
//! | `octree` | linear octree: cells, corners and neighbours of each level |
//! | `samples` | points merged to samples, their density and level |
//! | `transfer` | trilinear functions from one level to the next |
//! | `solver` | the equation; cascadic Gauss–Seidel |
//! | `attributes` | colour and density of the points, everywhere |
//! | `contour` | crack-free marching cubes on the octree |
//! | [`mod@visibility`] | who sees a surface, who sees through it |
//! | [`mod@trim`] | faces without evidence removed |
//! | [`mod@clean`] | manifold, oriented, without crumbs and spikes |
//! | `manifold`, `orient` | steps of cleaning |
//! | [`holes`] | small holes closed |
//! | [`mod@simplify`], `blocks` | fewer faces within an error bound, in parallel |
//! | [`normals`] | vertex normals |
//! | [`mod@topology`] | what a mesh is: borders, components, Euler number |
//! | [`mod@surface`] | the chain of all this, with its figures |
//!
//! Papers: Kazhdan & Hoppe, "Screened Poisson Surface Reconstruction", 2013;
//! Kazhdan & Hoppe, "An Adaptive Multi-Grid Solver for Applications in
//! Computer Graphics", 2019; Garland & Heckbert, "Surface Simplification
//! Using Quadric Error Metrics", 1997 (through meshoptimizer); Labatut, Pons &
//! Keriven, "Robust and Efficient Surface Reconstruction from Range Data", 2009
//! (visibility).

mod attributes;
mod blocks;
pub mod clean;
mod contour;
pub mod error;
pub mod holes;
mod manifold;
pub mod normals;
mod octree;
mod orient;
pub mod poisson;
mod samples;
pub mod simplify;
mod solver;
pub mod spacing;
pub mod surface;
pub mod topology;
mod transfer;
pub mod trim;
pub mod visibility;

pub use clean::{CleanOptions, clean};
pub use error::MeshError;
pub use holes::fill_holes;
pub use normals::compute_normals;
pub use poisson::{PoissonMesh, PoissonOptions, memory_bytes, reconstruct};
pub use simplify::{SimplifyOptions, simplify};
pub use spacing::point_spacing;
pub use surface::{Surface, SurfaceFigures, SurfaceOptions, surface};
pub use topology::{Topology, topology};
pub use trim::{TrimOptions, trim};
pub use visibility::{SurfaceView, Visibility, visibility};
