//! Damaged files give errors: no panic, no endless loop, no memory beyond what the file can hold.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use keras::saving::container::Archive;
use keras::saving::sniff::sniff_bytes;
use keras::saving::{LoadOptions, h5};

/// Reads everything there is to read; how much could be read does not matter.
fn read_all(bytes: &[u8]) {
    let _ = sniff_bytes("mutated", bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = LoadOptions::new().report_json(text);
        let _ = LoadOptions::new().report_yaml(text);
        return;
    }
    let _ = LoadOptions::new().report_bytes("mutated", bytes.to_vec());
    if let Ok(file) = h5::File::from_bytes("mutated", bytes.to_vec()) {
        read_group(&file.root());
    }
    if let Ok(mut archive) = Archive::from_bytes("mutated", bytes.to_vec()) {
        for member in archive.members().to_vec() {
            let _ = archive.json(&member);
            if let Ok(file) = archive.h5(&member) {
                read_group(&file.root());
            }
        }
    }
}

fn read_group(root: &h5::Group) {
    let _ = root.attributes();
    for path in root.dataset_paths().unwrap_or_default() {
        if let Some((group, _)) = path.rsplit_once('/') {
            let _ = root.group(group).and_then(|g| g.attributes());
        }
        let _ = root.dataset(&path).and_then(|d| d.read());
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    // Structure stands mostly at the front and, in a zip file, at the end.
    let len = bytes.len();
    let place = |random: &mut Random| match random.below(4) {
        0 => random.below(len),
        1 => len - 1 - random.below(len.min(600)),
        _ => random.below(len.min(4096)),
    };
    for _ in 0..=random.below(4) {
        let at = place(random);
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => {
                let word = [0u64, 1, 0xff, 0xffff, 1 << 31, u64::MAX >> 1, u64::MAX][random.below(7)];
                bytes.iter_mut().skip(at).zip(word.to_le_bytes()).for_each(|(b, w)| *b = w);
            }
            3 => {
                let from = place(random);
                for i in 0..random.below(64) {
                    if let (Some(&b), true) = (bytes.get(from + i), at + i < len) {
                        bytes[at + i] = b;
                    }
                }
            }
            // Addresses of other objects, so that structures point at the wrong thing or at themselves.
            _ => {
                let word = (random.below(len) as u64 & !7).to_le_bytes();
                bytes.iter_mut().skip(at & !7).zip(word).for_each(|(b, w)| *b = w);
            }
        }
    }
    if random.below(10) == 0 {
        bytes.truncate(random.below(len));
    }
}

/// The largest amount of memory this process ever had mapped; only Linux tells.
fn peak_memory() -> u64 {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A small file of each format and of each era.
const FILES: [&str; 14] = [
    "files/keras-1.0.8-siamese_shared.yaml",
    "files/keras-3.15.1-cnn_upsample_bilinear.json",
    "files/keras-3.15.1-cnn_upsample_bilinear.keras",
    "files/keras-3.15.1-cnn_upsample_bilinear.weights.h5",
    "files/made-compressed.h5",
    "files/made-dtypes.h5",
    "files/made-refused.h5",
    "files/tf.keras-2.15-siamese_shared.keras",
    "legacy/keras-1.0.5-theano/bn.weights.h5",
    "legacy/keras-1.0.5-theano/nested.json",
    "legacy/keras-1.2.2-theano/gru_cpu.h5",
    "legacy/keras-2.1.6-theano/conv1d.h5",
    "legacy/keras-2.3.1-theano/nested.h5",
    "legacy/tf-keras-2.21/slicing.keras",
];

#[test]
fn mutated_files_give_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let seed = std::env::var("MUTATION_SEED").map_or(1, |s| s.parse().unwrap());
    let rounds = std::env::var("MUTATION_ROUNDS").map_or(1430, |s| s.parse().unwrap());
    let mut random = Random(seed);
    let before = peak_memory();
    for name in FILES {
        let original = fs::read(folder.join(name)).unwrap();
        for round in 0..rounds {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            let start = Instant::now();
            read_all(&bytes);
            let (took, grown) = (start.elapsed(), peak_memory() - before);
            // The files are under a hundred kilobytes: nothing takes seconds or a hundred megabytes.
            if took > Duration::from_secs(2) || grown > 200 << 20 {
                let copy =
                    std::env::temp_dir().join(format!("mutated-{seed}-{round}-{}", name.replace('/', "-")));
                fs::write(&copy, bytes).unwrap();
                panic!("{} took {took:?} and {grown} bytes", copy.display());
            }
        }
    }
}
