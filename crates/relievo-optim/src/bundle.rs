//! The shape of a bundle problem: landmarks, each seen by observations that
//! touch one pose block and one group block.
//!
//! A residual has two rows. A landmark has three parameters, a pose block six,
//! a group block (intrinsics shared by many observations) up to
//! [`MAX_GROUP_DIM`]. Nothing here knows what a camera is.

/// Most parameters of a group block.
pub const MAX_GROUP_DIM: usize = 12;

/// No block: that side of the observation is constant.
pub const FIXED: u32 = u32::MAX;

/// Derivatives of one residual, row-major.
#[derive(Clone, Copy, Debug)]
pub struct ObservationRows {
    /// The residual.
    pub r: [f64; 2],
    /// By the landmark, 2×3.
    pub landmark: [f64; 6],
    /// By the pose block, 2×6.
    pub pose: [f64; 12],
    /// By the group block, 2×[`MAX_GROUP_DIM`]; columns past its dimension are
    /// not read.
    pub group: [[f64; MAX_GROUP_DIM]; 2],
}

impl Default for ObservationRows {
    fn default() -> Self {
        Self {
            r: [0.0; 2],
            landmark: [0.0; 6],
            pose: [0.0; 12],
            group: [[0.0; MAX_GROUP_DIM]; 2],
        }
    }
}

/// A diagonal prior on one parameter of a group block: cost ½ w (value − mean)².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupPrior {
    /// Group.
    pub group_idx: usize,
    /// Parameter within the block.
    pub dim: usize,
    /// value − mean.
    pub residual: f64,
    /// 1 / σ².
    pub weight: f64,
}

/// Which observation touches what.
#[derive(Clone, Debug, Default)]
pub struct BundleStructure {
    /// Number of pose blocks.
    pub num_poses: usize,
    /// Dimension of each group block.
    pub group_dims: Vec<usize>,
    /// Observations of landmark l: `landmark_starts[l]..landmark_starts[l + 1]`.
    pub landmark_starts: Vec<u32>,
    /// Pose block of each observation, or [`FIXED`].
    pub observation_pose: Vec<u32>,
    /// Group block of each observation, or [`FIXED`]. All observations of one
    /// pose block touch the same group (a view has one camera).
    pub observation_group: Vec<u32>,
}

impl BundleStructure {
    /// Number of landmarks.
    pub fn num_landmarks(&self) -> usize {
        self.landmark_starts.len().saturating_sub(1)
    }

    /// Number of observations.
    pub fn num_observations(&self) -> usize {
        self.observation_pose.len()
    }

    /// Observations of landmark `l`.
    #[inline]
    pub fn observations(&self, l: usize) -> std::ops::Range<usize> {
        self.landmark_starts[l] as usize..self.landmark_starts[l + 1] as usize
    }

    /// Parameters of all pose and group blocks.
    pub fn num_block_params(&self) -> usize {
        self.num_poses * 6 + self.group_dims.iter().sum::<usize>()
    }

    /// First parameter of group `g` in the vector of block parameters (poses
    /// stand first).
    pub fn group_offset(&self, g: usize) -> usize {
        self.num_poses * 6 + self.group_dims[..g].iter().sum::<usize>()
    }
}

/// A bundle problem.
pub trait BundleProblem: Sync {
    /// Values of all parameters.
    type State: Clone + Sync + Send;

    /// Its shape.
    fn structure(&self) -> &BundleStructure;

    /// The residual of observation `o` of landmark `l`; `None` where it cannot
    /// be evaluated (behind the camera).
    fn residual(&self, state: &Self::State, l: usize, o: usize) -> Option<[f64; 2]>;

    /// The residual with its derivatives; false where it cannot be evaluated.
    fn linearise(
        &self,
        state: &Self::State,
        l: usize,
        o: usize,
        rows: &mut ObservationRows,
    ) -> bool;

    /// `state` moved by a step of the block parameters (poses, then groups) and
    /// of the landmarks (3 each).
    fn step(&self, state: &Self::State, blocks: &[f64], landmarks: &[f64]) -> Self::State;

    /// Hears the cost ½ Σ ρ after each step that is taken.
    fn stepped(&self, _cost: f64) {}

    /// Priors on group parameters at `state`.
    fn priors(&self, _state: &Self::State) -> Vec<GroupPrior> {
        Vec::new()
    }
}
