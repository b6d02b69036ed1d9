//! `model`: a file of Keras's, what it predicts and how it trains.

use super::{Check, Result};
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case, check: &mut Check) -> Result {
    let _ = (case, check);
    Err(VectorError::Key("model".to_owned(), "unknown".to_owned()).into())
}
