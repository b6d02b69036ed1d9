//! Layers of `keras.src.layers.merging`.
