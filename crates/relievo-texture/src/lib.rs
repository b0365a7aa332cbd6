//! Texturing: view labelling, charts, packing, seam levelling, baking
