//! Levenberg-Marquardt, robust losses, Schur complement solver and the RANSAC driver
