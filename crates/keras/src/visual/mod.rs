//! What a person looks at: summaries of models, their graphs, and curves of training.
//!
//! ```
//! use keras::prelude::*;
//! use keras::visual::PlotModel;
//!
//! let model = Sequential::new().add(Input::new([4])).add(Dense::new(2).name("out")).build()?;
//! model.summary()?;
//! let svg = model.plot_svg(PlotModel::new().show_dtype(true))?;
//! assert!(svg.contains("Dense"));
//! # Ok::<(), keras::Error>(())
//! ```

mod graph;
mod history;
mod summary;

pub use graph::PlotModel;
pub use summary::Summary;
