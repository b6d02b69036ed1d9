//! .keras archives, whole models. What is inside is changed as often as the archive around it, whose checksums would hide every
//! change from the readers behind them.
#![no_main]

use std::io::Cursor;

use keras::saving::LoadOptions;
use keras::saving::container::{Archive, ArchiveWriter};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| {
    let _ = LoadOptions::new().report_bytes("fuzzed", bytes.to_vec());
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match (seed % 4, repacked(&data[..size], max_size, seed)) {
        (1.., Some(bytes)) if bytes.len() <= max_size => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

/// The archive with one member changed.
fn repacked(bytes: &[u8], max_size: usize, seed: u32) -> Option<Vec<u8>> {
    let mut archive = Archive::from_bytes("fuzzed", bytes.to_vec()).ok()?;
    let members = archive.members().to_vec();
    let changed = members.get((seed / 4) as usize % members.len().max(1))?;
    let mut out = ArchiveWriter::new("fuzzed", Cursor::new(Vec::new()));
    for member in &members {
        let mut content = archive.read(member).ok()?;
        if member == changed {
            let size = content.len();
            content.resize(size.max(max_size / 2), 0);
            let size = fuzzer_mutate(&mut content, size, max_size / 2);
            content.truncate(size);
        }
        out.bytes(member, &content).ok()?;
    }
    Some(out.finish().ok()?.into_inner())
}
