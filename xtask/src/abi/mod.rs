//! The ABI gate and the surface: what a loader and TensorFlow see of an op's `.so`.
