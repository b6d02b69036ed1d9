//! `keras.activations`
