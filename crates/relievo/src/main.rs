//! Photos or a video in, a textured model out.
fn main() {}
