//! Every required operation on every dtype that it accepts, against naive code.

mod contract;
mod elementwise;
mod index;
mod movement;
mod naive;
mod reduce;
