//! Every required operation on every dtype that it accepts, against naive code.

mod contract;
mod elementwise;
mod fused;
mod index;
mod interop;
mod movement;
mod naive;
mod reduce;
