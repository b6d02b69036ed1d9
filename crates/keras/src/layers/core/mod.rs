//! Layers of `keras.src.layers.core`.
