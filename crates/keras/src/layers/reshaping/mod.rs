//! Layers of `keras.src.layers.reshaping`.
