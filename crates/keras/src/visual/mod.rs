//! What a person looks at: summaries of models, their graphs, and curves of training.

mod graph;
mod history;
mod summary;

pub use graph::PlotModel;
pub use summary::Summary;
