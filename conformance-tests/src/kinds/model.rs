//! `model`: a file of Keras's, what it predicts and how it trains.

use keras_spec::Error;

use super::Result;
use crate::vectors::Case;

/// Fails every case until `keras::saving` has `load_model`.
pub(super) fn run(case: &Case) -> Result {
    Err(Error::other(format!("`{}`: loading model files is not implemented", case.text("file")?)).into())
}
