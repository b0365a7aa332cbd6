//! What a caller can set.

relievo_task::options! {
    /// Options of texturing.
    pub struct TextureOptions {
        /// Longer side of the reduced pictures in which visibility, sharpness and mean colours are measured.
        selection_max_px: u32 = 1600, "px", "half scale of a 6 MP photo; PLANS: two seconds for eleven views";
        /// Weight of a seam against the data term; larger gives fewer, larger charts.
        smoothness: f64 = 1.0, "", "Waechter et al. 2014, section 4.1 (Potts)";
        /// Most rounds of belief propagation.
        labelling_rounds: u32 = 40, "rounds", "energy changes below 0.1 % after 30 on all sets";
        /// Steepest angle between surface and viewing ray at which a photo may colour a face.
        max_grazing_deg: f64 = 80.0, "deg", "Waechter et al. use 75; 80 leaves fewer faces unseen";
        /// Reject views whose colour of a face disagrees with the others (moving people, occluders).
        reject_outliers: bool = true, "", "Waechter et al. 2014, section 4.1, photo-consistency check";
        /// Even out exposure and colour between charts.
        global_levelling: bool = true, "", "Waechter et al. 2014, section 4.2";
        /// Blend what is left of a seam over a narrow strip.
        local_levelling: bool = true, "", "Waechter et al. 2014, section 4.2 (Poisson editing)";
        /// Width of that strip.
        strip_px: u32 = 20, "texels", "Waechter et al. 2014";
        /// Texels per photo pixel, before the budget below.
        texel_density: f64 = 1.0, "", "the photo's own resolution";
        /// Texels of all pages together; charts are scaled down until they fit.
        max_megatexels: f64 = 96.0, "megatexels", "six pages of 4096 px; what a laptop's viewer shows fluently";
        /// Side of a page.
        page_px: u32 = 4096, "px", "largest texture that every WebGL device takes";
        /// Texels around every chart that repeat its border, for bilinear filtering and mip maps.
        padding_px: u32 = 3, "texels", "two mip levels";
    }
}
