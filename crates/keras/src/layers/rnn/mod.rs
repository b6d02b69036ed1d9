//! Recurrent layers: `SimpleRNN`, `LSTM`, `GRU`, their cells.

mod cell;
mod gru;
mod lstm;
mod recurrent;
mod simple_rnn;

pub use cell::{Cell, Kind};
pub use gru::{GRU, GRUCell, Gru};
pub use lstm::{LSTM, LSTMCell, Lstm};
pub use recurrent::{Recurrent, UseCudnn};
pub use simple_rnn::{Simple, SimpleRNN, SimpleRNNCell};
