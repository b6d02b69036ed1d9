//! Placeholder, replaced within the hour.

pub mod saving;
