//! Pose, depth, cloud, mesh and texture metrics
