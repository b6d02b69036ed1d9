//! Layers of `keras.src.layers.activations`.
