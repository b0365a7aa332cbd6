//! Photo decoding, EXIF, masks, video frame sources, key frames
