//! `keras.random`
