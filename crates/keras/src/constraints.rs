//! `keras.constraints`
