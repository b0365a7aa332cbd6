//! Keypoint detection and description
