//! Damaged copies of a valid file.

use relievo_task::rng;

/// `n` copies of `data`: cut short, with flipped bits, with runs of 0xff, or
/// with a piece taken out.
pub(crate) fn mutations(data: &[u8], n: usize) -> impl Iterator<Item = Vec<u8>> {
    let data = data.to_vec();
    let mut random = rng(1, "hostile", "file");
    let mut next = move |below: usize| {
        use rand_xoshiro::rand_core::RngCore;
        (random.next_u64() % below.max(1) as u64) as usize
    };
    (0..n).map(move |i| {
        let mut bytes = data.clone();
        let at = next(bytes.len());
        match i % 4 {
            0 => bytes.truncate(at),
            1 => {
                for _ in 0..=next(8) {
                    let k = next(bytes.len());
                    bytes[k] ^= 1 << next(8);
                }
            }
            2 => {
                let end = (at + 1 + next(16)).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            _ => {
                let end = (at + 1 + next(40)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
        bytes
    })
}
