//! `texture/atlas.bin`: where each face lies on the pages.

use super::wire::{NativeError, Reader, Writer};
use relievo_scene::TextureAtlas;

const MAGIC: [u8; 8] = *b"RLVOATLS";
const VERSION: u32 = 1;

/// magic, version, faces n, pages u32; n × 6 f32 (u v per corner), n × u16
/// page, n × u8 seen. The pages themselves are PNG files beside it.
pub fn encode(atlas: &TextureAtlas) -> Vec<u8> {
    let mut w = Writer::new(MAGIC, VERSION);
    w.u32(atlas.uv.len() as u32);
    w.u32(atlas.pages.len() as u32);
    w.slice(&atlas.uv);
    w.slice(&atlas.page);
    let seen: Vec<u8> = atlas.seen.iter().map(|&s| u8::from(s)).collect();
    w.slice(&seen);
    w.0
}

/// Number of pages and an atlas without pages.
pub fn decode(bytes: &[u8]) -> Result<(usize, TextureAtlas), NativeError> {
    let mut r = Reader::new("atlas", MAGIC, VERSION, bytes)?;
    let (n, pages) = (r.u32()? as usize, r.u32()? as usize);
    let uv = r.vec(n)?;
    let page = r.vec(n)?;
    let seen = r.vec::<u8>(n)?.into_iter().map(|s| s != 0).collect();
    r.end()?;
    Ok((
        pages,
        TextureAtlas {
            pages: Vec::new(),
            uv,
            page,
            seen,
        },
    ))
}
