//! Minimal solvers, one per file: truth is among the solutions of exact
//! data, degenerate or not finite data give none.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`mod@five_point`] | essential matrices through five pairs of rays |
//! | [`mod@seven_point`] | fundamental matrices through seven pairs |
//! | [`mod@homography_4pt`] | the homography through four pairs |
//! | [`p3p`] | camera poses through three points |
//! | [`mod@real_roots`] | real roots of polynomials |

pub mod five_point;
pub mod homography_4pt;
mod null_space;
pub mod p3p;
pub mod real_roots;
pub mod seven_point;

pub use five_point::five_point;
pub use homography_4pt::homography_4pt;
pub use real_roots::real_roots;
pub use seven_point::seven_point;
