//! Options of the depth stage.

relievo_task::options! {
    /// Options of PatchMatch depth.
    pub struct DepthOptions {
        /// Scale of the depth maps against the photos.
        scale: f64 = 0.5, "", "DESIGN §3: half at normal";
        /// A depth map is never smaller than this on its longer side (nor larger than the photo).
        min_longer_side_px: u32 = 800, "px", "DESIGN §3";
        /// Most sources of a view; the best of the plan are taken.
        max_sources: usize = 6, "views", "ACMM uses 9, OpenMVS 8; measured on the rendered sets; 8 in rooms at normal, where each wall is in few of them";
        /// Sources averaged per pixel once the view selection has chosen.
        views_per_pixel: usize = 4, "views", "judgement";
        /// Levels of the pyramid, each half the size of the one before.
        levels: usize = 3, "levels", "ACMM, section 4.1";
        /// Red-black iterations at the coarsest level.
        coarse_iterations: usize = 5, "iterations", "measured on the rendered sets";
        /// Red-black iterations at each level between.
        middle_iterations: usize = 3, "iterations", "measured on the rendered sets";
        /// Red-black iterations at the finest level.
        fine_iterations: usize = 1, "iterations", "2 in rooms: docs/decisions.md";
        /// Propagation areas at the finest level: 8, or the 4 near ones.
        fine_areas: usize = 8, "areas", "ACMH, section 3.1";
        /// Different offers of the areas tried above the coarsest level, least cost first.
        fine_offers: usize = 4, "offers", "fountain-p11, 768 px: as many points, a tenth less time";
        /// Different offers tried in a geometric pass, least cost first.
        geometric_offers: usize = 3, "offers", "fountain-p11, 768 px: as many points, a tenth less time";
        /// Propagation areas of a geometric pass: 8, or the 4 near ones.
        geometric_areas: usize = 4, "areas", "measured: far areas bring nothing once maps have converged";
        /// Passes under geometric consistency, each reading all maps of the pass before.
        geometric_passes: usize = 2, "passes", "ACMM, section 4.2";
        /// Red-black iterations of a geometric pass.
        geometric_iterations: usize = 1, "iterations", "measured on the rendered sets";
        /// Pixels of less cost when a geometric pass begins are refined without propagation.
        converged_cost: f32 = 0.12, "", "judgement; 0 for none";
        /// Weight of a pixel of forward-backward reprojection error against 1 − NCC.
        geometric_weight: f32 = 0.2, "1/px", "ACMM, equation 12";
        /// Forward-backward error is cut here.
        geometric_limit_px: f32 = 3.0, "px", "ACMM, equation 12";
        /// Fall-off of the bilateral weight by grey-level difference.
        sigma_color: f32 = 6.0, "grey levels", "ACMM code: exp(-d/18); measured: docs/decisions.md";
        /// Fall-off of the bilateral weight by distance.
        sigma_space_px: f32 = 3.0, "px", "ACMM code: 5; measured: docs/decisions.md";
        /// Sensor noise added to both variances of the NCC, so that flat patches score 0 instead of noise.
        noise: f32 = 1.0, "grey levels", "judgement";
        /// Planar priors from reliable pixels help where texture is weak.
        planar_prior: bool = true, "", "ACMP, section 3";
        /// Planes of weak texture hold so far beyond the pixels that carry them, half as far through shading.
        plane_reach_px: u32 = 0, "px", "16 in rooms, whose walls go on behind things; a facade of many parts (fountain-p11) becomes less consistent";
        /// Pixels whose final cost 1 − NCC is above this, and which no source confirms, stay empty.
        max_cost: f32 = 0.7, "", "judgement; 2 (all that a source sees) for objects and rooms, where fusion tells better";
        /// Sky has no depth: the bright region at the top of a photo that nothing around it goes on into.
        clear_sky: bool = true, "", "off in rooms, where it would be the ceiling";
    }
}

impl DepthOptions {
    /// Quarter scale and little effort.
    pub fn draft() -> Self {
        Self {
            scale: 0.25,
            max_sources: 5,
            views_per_pixel: 3,
            coarse_iterations: 4,
            middle_iterations: 2,
            geometric_passes: 1,
            ..Self::default()
        }
    }

    /// The default.
    pub fn normal() -> Self {
        Self::default()
    }

    /// Full scale, more sources.
    pub fn high() -> Self {
        Self {
            scale: 1.0,
            max_sources: 8,
            levels: 4,
            fine_iterations: 3,
            ..Self::default()
        }
    }

    /// With values that would make nonsense of every cost (no noise: flat patches are 0 / 0; no
    /// sources: every plane costs nothing) at the nearest that do not.
    pub(crate) fn usable(&self) -> Self {
        Self {
            max_sources: self.max_sources.max(1),
            views_per_pixel: self.views_per_pixel.max(1),
            levels: self.levels.max(1),
            sigma_color: self.sigma_color.max(0.1),
            sigma_space_px: self.sigma_space_px.max(0.1),
            noise: self.noise.max(0.01),
            ..self.clone()
        }
    }

    /// Size of the depth map of a photo.
    pub fn size_px(&self, photo_width_px: u32, photo_height_px: u32) -> (u32, u32) {
        let longer = f64::from(photo_width_px.max(photo_height_px).max(1));
        let scale = self
            .scale
            .max(f64::from(self.min_longer_side_px) / longer)
            .clamp(1e-3, 1.0);
        let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
        (side(photo_width_px), side(photo_height_px))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_nonsense_are_taken_at_the_nearest_that_do_not() {
        let nonsense = DepthOptions {
            max_sources: 0,
            views_per_pixel: 0,
            levels: 0,
            sigma_color: -1.0,
            sigma_space_px: 0.0,
            noise: 0.0,
            ..DepthOptions::default()
        };
        let usable = nonsense.usable();
        assert!(usable.max_sources == 1 && usable.views_per_pixel == 1 && usable.levels == 1);
        assert!(usable.sigma_color > 0.0 && usable.sigma_space_px > 0.0 && usable.noise > 0.0);
        assert_eq!(DepthOptions::default().usable(), DepthOptions::default());
    }
}
