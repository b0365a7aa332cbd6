//! A textured mesh.

use crate::TriMesh;
use crate::check::{Broken, ensure};
use relievo_image::Raster;

/// Atlas pages and where each face lies on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextureAtlas {
    /// sRGB pages.
    pub pages: Vec<Raster<[u8; 3]>>,
    /// Per face corner: (u, v) in 0..=1, v down from the top of the page.
    pub uv: Vec<[[f32; 2]; 3]>,
    /// Page of each face.
    pub page: Vec<u16>,
    /// False for a face that no photo saw (its colour is filled in).
    pub seen: Vec<bool>,
}

/// A mesh with its atlas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TexturedMesh {
    /// The surface.
    pub mesh: TriMesh,
    /// Its colours.
    pub atlas: TextureAtlas,
}

impl TexturedMesh {
    /// The mesh holds, and every face has a place on an existing page.
    pub fn check(&self) -> Result<(), Broken> {
        self.mesh.check()?;
        let n = self.mesh.triangles.len();
        let a = &self.atlas;
        ensure(
            "textured mesh",
            a.uv.len() == n && a.page.len() == n && a.seen.len() == n,
            || format!("atlas has {} faces, mesh {n}", a.uv.len()),
        )?;
        let page = a.page.iter().position(|&p| usize::from(p) >= a.pages.len());
        ensure("textured mesh", page.is_none(), || {
            format!("face {page:?} is on no page")
        })?;
        let uv =
            a.uv.iter()
                .position(|c| c.iter().flatten().any(|t| !(0.0..=1.0).contains(t)));
        ensure("textured mesh", uv.is_none(), || {
            format!("face {uv:?} lies outside its page")
        })
    }
}
