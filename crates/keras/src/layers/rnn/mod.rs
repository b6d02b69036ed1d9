//! Recurrent layers: `SimpleRNN`, `LSTM`, `GRU`, their cells, `Bidirectional`, `TimeDistributed`.

mod bidirectional;
mod cell;
mod gru;
mod lstm;
mod recurrent;
mod simple_rnn;
mod time_distributed;

pub use bidirectional::{Bidirectional, MergeMode};
pub use cell::{RecurrentCell, RecurrentKind};
pub use gru::{GRU, GRUCell, Gru};
pub use lstm::{LSTM, LSTMCell, Lstm};
pub use recurrent::{Recurrent, UseCudnn};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell, SimpleRnn};
pub use time_distributed::TimeDistributed;
