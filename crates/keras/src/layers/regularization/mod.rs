//! Layers of `keras.src.layers.regularization`.
