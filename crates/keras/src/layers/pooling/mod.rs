//! `MaxPooling1D`, `MaxPooling2D`, `AveragePooling1D`, `AveragePooling2D` and those over all places.

mod global_pooling;
mod windows;

pub use global_pooling::{
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalPooling,
};
pub use windows::{AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D, Pooling};
