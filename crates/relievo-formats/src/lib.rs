//! Every file format but pictures: COLMAP, PLY, OBJ, glTF, STL, depth maps
