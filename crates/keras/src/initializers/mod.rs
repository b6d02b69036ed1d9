//! `keras.initializers`
