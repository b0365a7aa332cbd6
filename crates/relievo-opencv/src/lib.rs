//! Video decoding and reference SIFT through OpenCV
