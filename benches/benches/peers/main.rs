//! Everything that is measured against a peer: `cargo bench -p benches`, or with part of a name after `--`.

mod dispatch;
mod files;
mod matmul;
mod operations;
mod training;

fn main() {
    let mut c = benches::criterion();
    dispatch::run(&mut c);
    matmul::run(&mut c);
    operations::run(&mut c);
    training::run(&mut c);
    files::run(&mut c);
    c.final_summary();
}
