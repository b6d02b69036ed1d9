//! `keras.regularizers`
