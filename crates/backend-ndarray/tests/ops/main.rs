//! Every required operation on every dtype that it accepts, against naive code.

mod elementwise;
mod contract;
mod index;
mod movement;
mod naive;
mod reduce;
