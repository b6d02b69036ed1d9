//! Recurrent layers, their cells, and wrappers around sequences.

mod any_cell;
mod bidirectional;
mod cell;
mod conv_lstm;
mod conv_lstm_cell;
mod gru;
mod lstm;
mod recurrent;
mod sequence;
mod simple_rnn;
mod stacked_rnn_cells;
mod time_distributed;

pub use any_cell::RNN;
pub use bidirectional::{Bidirectional, MergeMode};
pub use cell::{RecurrentCell, RecurrentKind};
pub use conv_lstm::{ConvLSTM, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D};
pub use gru::{GRU, GRUCell, Gru};
pub use lstm::{LSTM, LSTMCell, Lstm};
pub use recurrent::{Recurrent, UseCudnn};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell, SimpleRnn};
pub use stacked_rnn_cells::StackedRNNCells;
pub use time_distributed::TimeDistributed;
