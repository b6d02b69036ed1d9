//! Optimizers: how gradients change variables (`keras.optimizers`, Keras 3.15.1).

mod adafactor;
mod adaptive;
mod base;
mod declare;
mod ftrl;
mod loss_scale;
mod moments;
mod muon;
mod rules;
pub mod schedules;

pub use adafactor::Adafactor;
pub use adaptive::{Adadelta, Adagrad};
pub use base::{Base, LearningRate};
pub use ftrl::Ftrl;
pub use loss_scale::LossScaleOptimizer;
pub use moments::{Adamax, Lamb, Lion, Nadam, ScheduleFreeAdamW};
pub use muon::Muon;
pub use rules::{Adam, AdamW, RMSprop, SGD};
