//! Closing a ring whose ends drifted apart.
//!
//! Along a chain of photos errors add up, until the matches between its ends no
//! longer fit the model and both ends have points of their own for the same
//! places. Such points of a pair of photos tell the similarity that takes one end
//! onto the other (as loop closing does: Strasdat, Montiel & Davison, "Scale
//! drift-aware large scale monocular SLAM", RSS 2010). Every photo follows it by its
//! share, which spreads over the supported pairs as a potential does over
//! resistors: 0 at one end, 1 at the other, and in between harmonic in the number
//! of matches. Neighbours thereby move almost alike. Then points that are one are
//! joined, and everything is adjusted.

use crate::SfmOptions;
use crate::links::{Evidence, evidence, most_doubtful, support};
use crate::model::Model;
use crate::refine::{clean_up, global, limits};
use crate::rotation_averaging::Sets;
use crate::scene::{NONE, Obs, Scene};
use crate::state::Built;
use crate::twins::{Twin, Twins};
use relievo_geometry::Sim3;
use relievo_optim::{Estimator, RansacOptions, lo_ransac, solve_sparse_spd};
use relievo_task::{Cancelled, Task, ordered};

/// Largest reprojection error of a point of the other end, in units of that of the
/// model's own points.
const SLACK: f64 = 4.0;

/// What speaks against a link, in units of what speaks for it, for a ring to be looked
/// for.
const DOUBT: f64 = 0.2;

/// Rings that are closed in one model.
const MAX_RINGS: usize = 4;

/// Adjustments after which the ends are one.
const ROUNDS: usize = 3;

/// Points that must meet: five more than three that always do; what they say is checked on
/// all matches afterwards.
const MIN_TWINS: usize = 8;

/// Contradicted pairs that are looked at: those with the most matches.
const MAX_PAIRS: usize = 64;

/// Two photos whose points meet under a similarity.
struct Closure {
    a: usize,
    b: usize,
    a_from_b: Sim3,
    inliers: usize,
}

/// Closes rings while a link of the model is doubtful and more matches fit it with one
/// more closed.
pub(crate) fn close_rings(
    scene: &Scene<'_>,
    built: &mut Built,
    options: &SfmOptions,
    task: &Task,
) -> Result<(), Cancelled> {
    for _ in 0..MAX_RINGS {
        if most_doubtful(scene, &built.model, DOUBT).is_none() {
            break;
        }
        let mut closed = built.model.clone();
        if !close(scene, &mut closed, options, task) {
            break;
        }
        clean_up(scene, &mut closed, &limits(options));
        built.iterations += global(scene, &mut closed, options, ROUNDS, task)? as u64;
        built.global_adjustments += 1;
        if support(scene, &closed) <= support(scene, &built.model) {
            break;
        }
        built.model = closed;
        built.rings_closed += 1;
    }
    Ok(())
}

/// Bends the model so that the ends of its most contradicted ring meet; false where
/// there is none.
fn close(scene: &Scene<'_>, model: &mut Model, options: &SfmOptions, task: &Task) -> bool {
    let evidence = evidence(scene, model);
    let mut against: Vec<usize> = (0..evidence.len())
        .filter(|&k| !evidence[k].supports() && evidence[k].unfit >= MIN_TWINS)
        .collect();
    against.sort_by_key(|&k| (std::cmp::Reverse(evidence[k].unfit), k));
    against.truncate(MAX_PAIRS);
    let seen: &Model = model;
    let found = ordered::map(&against, |&k| {
        closure(scene, seen, (&evidence, &against), k, (options, task))
    });
    let mut best: Option<Closure> = None;
    for c in found.into_iter().flatten() {
        if best.as_ref().is_none_or(|b| c.inliers > b.inliers) {
            best = Some(c);
        }
    }
    let Some(best) = best else { return false };
    let Some(shares) = shares(scene, &evidence, best.a, best.b) else {
        return false;
    };
    bend(model, &best.a_from_b, &shares);
    true
}

/// From the twins of contradicted pair `k` and of those contradicted pairs whose ends
/// each are its own or supported neighbours of them.
fn closure(
    scene: &Scene<'_>,
    model: &Model,
    (evidence, against): (&[Evidence], &[usize]),
    k: usize,
    (options, task): (&SfmOptions, &Task),
) -> Option<Closure> {
    let pair = &scene.pairs[k];
    let near = |v: usize| {
        let mut near = vec![false; scene.num_views()];
        near[v] = true;
        let pairs = scene.pairs.iter().zip(evidence);
        for (p, _) in pairs.filter(|(_, e)| e.supports()) {
            near[p.b] |= p.a == v;
            near[p.a] |= p.b == v;
        }
        near
    };
    let (near_a, near_b) = (near(pair.a), near(pair.b));
    let mut list = Vec::new();
    for other in against.iter().map(|&k| &scene.pairs[k]) {
        let straight = near_a[other.a] && near_b[other.b];
        let crossed = near_a[other.b] && near_b[other.a];
        if !straight && !crossed {
            continue;
        }
        for m in &other.geometry.inliers {
            let at = |view: usize, kp: u32| {
                let view = view as u32;
                Obs { view, kp }
            };
            let (a, b) = (at(other.a, m.a_idx), at(other.b, m.b_idx));
            let (in_a, in_b) = if straight { (a, b) } else { (b, a) };
            let (p, q) = (model.point_at(in_a), model.point_at(in_b));
            if p != NONE && q != NONE && p != q {
                list.push(Twin { p, q, in_a, in_b });
            }
        }
    }
    list.sort_unstable();
    list.dedup_by_key(|t| (t.p, t.q));
    let ends = Twins {
        scene,
        a: model,
        b: model,
        list,
    };
    let size = |v: usize| scene.size_factor(v, 0.5, 1.0);
    let ransac = RansacOptions {
        threshold: SLACK * options.max_error_px * size(pair.a).max(size(pair.b)),
        min_inliers: MIN_TWINS,
        ..RansacOptions::default()
    };
    let names = format!("{} {}", scene.names[pair.a], scene.names[pair.b]);
    let seed = relievo_task::seed(task.run_seed(), "ring", &names);
    let found = lo_ransac(&ends, &ransac, seed)?;
    // Points that meet as they are were only never joined.
    let near = |&i: &usize| ends.squared_residual(&Sim3::identity(), i) < ransac.threshold.powi(2);
    let apart = found.inliers.len() - found.inliers.iter().copied().filter(near).count();
    (apart >= MIN_TWINS).then_some(Closure {
        a: pair.a,
        b: pair.b,
        a_from_b: found.model,
        inliers: found.inliers.len(),
    })
}

/// The share of every view in the motion that takes `b` onto `a`; `None` where
/// supported pairs do not lead from one to the other.
fn shares(scene: &Scene<'_>, evidence: &[Evidence], a: usize, b: usize) -> Option<Vec<f64>> {
    let n = scene.num_views();
    let supported = || {
        let pairs = scene.pairs.iter().zip(evidence);
        pairs.filter(|(_, e)| e.supports())
    };
    let mut sets = Sets::new(n);
    for (p, _) in supported() {
        sets.join(p.a, p.b);
    }
    if sets.find(a) != sets.find(b) {
        return None;
    }
    // Views between the ends, by their place in the system.
    let root = sets.find(a);
    let mut place = vec![None; n];
    let mut size = 0;
    for v in (0..n).filter(|&v| v != a && v != b) {
        if sets.find(v) == root {
            place[v] = Some(size);
            size += 1;
        }
    }
    let mut lower = Vec::new();
    let mut rhs = vec![0.0; size];
    for (p, e) in supported() {
        let weight = e.fit as f64;
        for (v, other) in [(p.a, p.b), (p.b, p.a)] {
            let Some(row) = place[v] else { continue };
            lower.push((row as u32, row as u32, weight));
            match place[other] {
                Some(column) if column < row => lower.push((row as u32, column as u32, -weight)),
                None if other == b => rhs[row] += weight,
                _ => {}
            }
        }
    }
    let solved = if size == 0 {
        Vec::new()
    } else {
        solve_sparse_spd(size, &lower, &[rhs])?.pop()?
    };
    let share = |v: usize| match place[v] {
        Some(at) => solved[at],
        None => f64::from(u8::from(v == b)),
    };
    Some((0..n).map(share).collect())
}

/// Every view follows `motion` by its share, every point by the mean share of the
/// views that see it.
fn bend(model: &mut Model, motion: &Sim3, shares: &[f64]) {
    for (pose, share) in model.poses.iter_mut().zip(shares) {
        if let Some(pose) = pose {
            *pose = motion.power(*share).transform_pose(pose);
        }
    }
    for p in model.points.iter_mut().filter(|p| !p.obs.is_empty()) {
        let sum: f64 = p.obs.iter().map(|o| shares[o.view as usize]).sum();
        p.x = motion.power(sum / p.obs.len() as f64).apply(&p.x);
    }
}
