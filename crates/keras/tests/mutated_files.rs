//! Damaged files give errors: no panic, no endless loop, no memory beyond what the file holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use keras::saving::container::Archive;
use keras::saving::sniff::sniff_bytes;
use keras::saving::{LoadOptions, h5};

/// The system's allocator, with the bytes that live now and the most that ever lived at once.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all is left to `System`; counting allocates nothing. `realloc` is the default, which goes through both.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most bytes that lived at once during `f`, beyond those before it.
fn peak_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = f();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

/// Reads everything there is to read. The most memory that a part of it took, and the bytes of all tensors that could be read or
/// made.
fn read_all(bytes: &[u8]) -> (usize, usize) {
    let mut peaks = vec![peak_of(|| drop(sniff_bytes("mutated", bytes))).1];
    let mut held = 0;
    if let Ok(text) = std::str::from_utf8(bytes) {
        for load in [LoadOptions::report_json, LoadOptions::report_yaml] {
            // An architecture holds no weights, but declares them: they are made.
            let (weights, peak) =
                peak_of(|| load(&LoadOptions::new(), text).map_or(0, |(model, _)| 4 * model.count_params()));
            held += weights;
            peaks.push(peak);
        }
    } else {
        peaks.push(peak_of(|| drop(LoadOptions::new().report_bytes("mutated", bytes.to_vec()))).1);
        let (arrays, peak) = peak_of(|| read_arrays(bytes));
        held += arrays;
        peaks.push(peak);
    }
    (peaks.into_iter().max().unwrap_or(0), held)
}

/// Reads all arrays, each on its own, and all attributes. How many bytes the arrays have.
fn read_arrays(bytes: &[u8]) -> usize {
    let mut held = 0;
    if let Ok(file) = h5::File::from_bytes("mutated", bytes.to_vec()) {
        held += read_group(&file.root());
    }
    if let Ok(mut archive) = Archive::from_bytes("mutated", bytes.to_vec()) {
        for member in archive.members().to_vec() {
            let _ = archive.json(&member);
            if let Ok(file) = archive.h5(&member) {
                held += read_group(&file.root());
            }
        }
    }
    held
}

fn read_group(root: &h5::Group) -> usize {
    let _ = root.attributes();
    let mut held = 0;
    for path in root.dataset_paths().unwrap_or_default() {
        if let Some((group, _)) = path.rsplit_once('/') {
            let _ = root.group(group).and_then(|g| g.attributes());
        }
        let array = root.dataset(&path).and_then(|d| d.read());
        held += array.map_or(0, |array| array.data().len() * array.dtype().size());
    }
    held
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

/// What one reading may take at once: this much, whatever the file. Of it, a megabyte is for the library's cache of metadata, and
/// nearly three for the 65,535 members that it makes room for when a type claims to have so many.
const ALLOWANCE: usize = 4 << 20;
/// And for each byte of the file: the copy that is read and the one that tells the format, decoded names and attributes, JSON as
/// text and as values.
const PER_BYTE: usize = 8;
/// And for each byte of the tensors in it: what is unpacked, the array of that, and the tensor on its device.
const PER_HELD: usize = 3;

#[test]
fn mutated_files_give_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let seed = std::env::var("MUTATION_SEED").map_or(1, |s| s.parse().unwrap());
    let rounds = std::env::var("MUTATION_ROUNDS").map_or(1430, |s| s.parse().unwrap());
    let mut random = Random(seed);
    let mut closest = (0.0, String::new());
    for name in FILES {
        let original = fs::read(folder.join(name)).unwrap();
        // What is made once in a process.
        read_all(&original);
        for round in 0..rounds {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            let start = Instant::now();
            let (peak, held) = read_all(&bytes);
            let took = start.elapsed();
            let allowed = ALLOWANCE + PER_BYTE * bytes.len() + PER_HELD * held;
            let share = peak as f64 / allowed as f64;
            if share > closest.0 {
                closest = (share, format!("{name}, round {round}: {peak} of {allowed} bytes"));
            }
            // The files are under a hundred kilobytes: nothing takes seconds.
            if took > Duration::from_secs(2) || peak > allowed {
                let copy =
                    std::env::temp_dir().join(format!("mutated-{seed}-{round}-{}", name.replace('/', "-")));
                fs::write(&copy, bytes).unwrap();
                panic!("{} took {took:?} and {peak} bytes where {allowed} are allowed", copy.display());
            }
        }
    }
    println!("closest to the limit: {}", closest.1);
}
