//! Files written by the real programs, read here; and files written here, read back.

use std::fs;
use std::path::{Path, PathBuf};

use keras::saving::container::{self, Archive, ArchiveWriter};
use keras::saving::sniff::{FileKind, sniff, sniff_bytes};
use keras::saving::{FileError, h5, json};
use keras_spec::half::{bf16, f16};
use keras_spec::{DType, HostData, HostTensor, Shape};
use proptest::collection::vec;
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files").join(name)
}

fn open(name: &str) -> h5::File {
    let path = fixture(name);
    match Archive::open(&path) {
        Ok(mut archive) => archive.h5(container::WEIGHTS).unwrap(),
        Err(_) => h5::File::open(&path).unwrap(),
    }
}

/// The sum of the elements weighted by their position.
fn weighted_sum(array: &HostTensor) -> f64 {
    array.to_f64_vec().iter().zip(1..).map(|(x, i)| x * f64::from(i)).sum()
}

#[test]
fn arrays_are_what_h5py_reads() {
    let expected = json::parse(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap();
    let files = expected.as_object().unwrap();
    assert_eq!(files.len(), 13);
    for (name, arrays) in files {
        let root = if name == "made-dtypes.h5" || name == "made-compressed.h5" || name == "made-long_names.h5"
        {
            h5::File::open(fixture(name)).unwrap().root()
        } else {
            open(name).root()
        };
        let arrays = arrays.as_object().unwrap();
        let mut paths = root.dataset_paths().unwrap();
        assert_eq!(paths.len(), arrays.len(), "{name}");
        paths.sort();
        for path in paths {
            let expected = &arrays[&path];
            let dataset = root.dataset(&path).unwrap();
            assert_eq!(dataset.dtype().name(), expected["dtype"], "{name} {path}");
            let array = dataset.read().unwrap();
            assert_eq!(serde_json::json!(array.shape().dims()), expected["shape"], "{name} {path}");
            let (sum, expected) = (weighted_sum(&array), expected["sum"].as_f64().unwrap());
            assert!((sum - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{name} {path}: {sum}");
        }
    }
}

#[test]
fn every_file_is_told_by_its_content() {
    for (name, kind) in [
        ("keras-1.0.5-bn.weights.h5", FileKind::LayerWeightsH5),
        ("keras-1.0.8-siamese_shared.h5", FileKind::WholeModelH5),
        ("keras-1.0.8-siamese_shared.yaml", FileKind::ArchitectureYaml),
        ("keras-2.2.4-prelu_shared.keras", FileKind::WholeModelH5),
        ("keras-3.15.1-cnn_upsample_bilinear.h5", FileKind::WholeModelH5),
        ("keras-3.15.1-cnn_upsample_bilinear.json", FileKind::ArchitectureJson),
        ("keras-3.15.1-cnn_upsample_bilinear.keras", FileKind::Keras),
        ("keras-3.15.1-cnn_upsample_bilinear.weights.h5", FileKind::ObjectWeightsH5),
        ("made-bfloat16.keras", FileKind::Keras),
        ("made-long_names.h5", FileKind::LayerWeightsH5),
        ("tf.keras-2.15-siamese_shared.keras", FileKind::Keras),
        ("tf.keras-2.4-prelu_shared.h5", FileKind::WholeModelH5),
    ] {
        assert_eq!(sniff(fixture(name)).unwrap().kind, kind, "{name}");
        assert_eq!(sniff_bytes(name, &fs::read(fixture(name)).unwrap()).unwrap().kind, kind, "{name}");
    }
    let index = br#"{"metadata": {"total_size": 8}, "weight_map": {"/vars": ["a_00000.weights.h5"]}}"#;
    assert_eq!(sniff_bytes("a.weights.json", index).unwrap().kind, FileKind::ShardedWeights);
}

#[test]
fn what_is_no_model_file_is_named() {
    let h5 = fs::read(fixture("keras-1.0.8-siamese_shared.h5")).unwrap();
    let zip = fs::read(fixture("made-bfloat16.keras")).unwrap();
    for (bytes, says) in [
        (&b""[..], "an empty file"),
        (&h5[..200], "damaged"),
        (&zip[..200], "damaged"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x80\x04\x95", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"{\"a\": 1}", "without class_name"),
        (b"{\"class_name\": ", "cut off"),
        (b"\xff\xfe\xfd", "binary"),
        (b"hello", "text of an unknown format"),
        (&fs::read(fixture("made-dtypes.h5")).unwrap(), "HDF5 file of another program"),
    ] {
        let error = sniff_bytes("the_file", bytes).unwrap_err().to_string();
        assert!(error.starts_with("the_file: ") && error.contains(says), "{error}");
    }
    let error = sniff("/no/such/file.keras").unwrap_err();
    assert!(matches!(error, FileError::Io { .. }) && error.to_string().contains("/no/such/file.keras"));
}

#[test]
fn attributes_of_every_era() {
    let root = h5::File::open(fixture("made-dtypes.h5")).unwrap().root();
    let attributes = root.attributes().unwrap();
    assert_eq!(attributes.text("fixed").unwrap(), Some("latin"));
    assert_eq!(attributes.text("unicode").unwrap(), Some("naïve"));
    assert_eq!(attributes.text("bytes").unwrap(), Some("bytes"));
    assert_eq!(attributes.text("absent").unwrap(), None);
    assert_eq!(attributes.texts("list").unwrap().unwrap(), ["a", "bc", ""]);
    assert_eq!(attributes.texts("fixed_list").unwrap().unwrap(), ["a", "bc"]);
    assert_eq!(attributes.texts("empty_list").unwrap().unwrap(), [""; 0]);
    assert_eq!(attributes.texts("absent").unwrap(), None);
    assert_eq!(attributes.int("answer").unwrap(), Some(42));
    let error = attributes.text("answer").unwrap_err().to_string();
    assert!(error.ends_with("made-dtypes.h5: /@answer: expected a string, found i64"), "{error}");
    assert!(attributes.int("complex").is_err());

    let root = h5::File::open(fixture("made-long_names.h5")).unwrap().root();
    let names = root.attributes().unwrap().texts("layer_names").unwrap().unwrap();
    assert_eq!((names.len(), &names[799][..4], &names[799][90..]), (800, "aaaa", "00799"));

    let root = h5::File::open(fixture("keras-1.0.5-bn.weights.h5")).unwrap().root();
    let layers = root.attributes().unwrap().texts("layer_names").unwrap().unwrap();
    let weights =
        root.group(&layers[1]).unwrap().attributes().unwrap().texts("weight_names").unwrap().unwrap();
    assert!(weights.iter().all(|w| root.dataset(&format!("{}/{w}", layers[1])).is_ok()), "{weights:?}");

    let root = open("keras-3.15.1-cnn_upsample_bilinear.h5").root();
    let attributes = root.attributes().unwrap();
    let config = json::parse(attributes.text("model_config").unwrap().unwrap()).unwrap();
    assert_eq!(config["class_name"], "Sequential");
    assert_eq!(attributes.text("keras_version").unwrap(), Some("3.15.1"));
}

#[test]
fn hostile_objects_are_refused() {
    let root = h5::File::open(fixture("made-refused.h5")).unwrap().root();
    let fails = |path: &str, says: &str| {
        let error = root.dataset(path).and_then(|d| d.read()).unwrap_err().to_string();
        assert!(error.contains(&format!("made-refused.h5: /{path}")) && error.contains(says), "{error}");
    };
    fails("external", "external");
    fails("never_written", "refused");
    fails("zeros", "refused");
    fails("virtual", "refused");
    fails("strings", "expected numbers or booleans");
    fails("complex", "expected numbers or booleans");
    fails("absent", "no such object");
    fails("loop", "expected a dataset, found a group");
    assert!(root.dataset("external_link/link").is_err());
    // A link to what is in the same file is none of them.
    let read = |path: &str| root.dataset(path).unwrap().read().unwrap();
    assert_eq!(format!("{:?}", read("soft/link")), format!("{:?}", read("there")));
    assert!(root.group("there").err().unwrap().to_string().contains("expected a group, found a dataset"));
    assert!(root.find_dataset("absent").unwrap().is_none());
    for group in ["loop", "deep"] {
        let error = root.group(group).unwrap().dataset_paths().unwrap_err();
        assert!(matches!(error, FileError::Refused { .. }), "{error}");
    }
}

#[test]
fn archives_read_the_same_from_a_file_memory_and_a_directory() {
    let path = fixture("made-bfloat16.keras");
    let directory = tempfile::tempdir().unwrap();
    let mut zipped = Archive::open(&path).unwrap();
    for member in zipped.members().to_vec() {
        fs::write(directory.path().join(&member), zipped.read(&member).unwrap()).unwrap();
    }
    assert_eq!(sniff(directory.path()).unwrap().kind, FileKind::Keras);
    let mut in_memory = Archive::from_bytes("m", fs::read(&path).unwrap()).unwrap();
    let mut unpacked = Archive::open(directory.path()).unwrap();
    let config = zipped.json(container::CONFIG).unwrap();
    assert_eq!(config["class_name"], "Sequential");
    for archive in [&mut zipped, &mut in_memory, &mut unpacked] {
        assert_eq!(archive.json(container::CONFIG).unwrap(), config);
        let root = archive.h5(container::WEIGHTS).unwrap().root();
        let kernel = root.dataset("layers/dense/vars/0").unwrap();
        assert_eq!((kernel.dtype(), kernel.shape()), (DType::BF16, &[3, 4][..]));
        assert!(kernel.read().is_ok());
        let error = archive.read("absent").unwrap_err();
        assert!(matches!(error, FileError::Missing { .. }));
    }
    // What Keras wrote as JSON is what is written here.
    let text = String::from_utf8(zipped.read(container::CONFIG).unwrap()).unwrap();
    assert_eq!(json::to_string(&config), text);
}

#[test]
fn a_flipped_bit_in_stored_weights_is_noticed() {
    let mut bytes = fs::read(fixture("made-bfloat16.keras")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    fs::write(&path, &bytes).unwrap();
    let error = Archive::open(&path).unwrap().h5(container::WEIGHTS).err().unwrap();
    assert!(matches!(error, FileError::Damaged { .. }), "{error}");
    assert!(Archive::from_bytes("m", bytes).unwrap().h5(container::WEIGHTS).is_err());
}

#[test]
fn an_archive_written_here_reads_back() {
    let mut weights = h5::Writer::new();
    let array = HostTensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
    weights.group("layers/dense/vars").dataset("0", &array).unwrap();
    weights.group("layers/flatten/vars");
    let config =
        serde_json::json!({"class_name": "Sequential", "config": {"x": json::from_f64(f64::INFINITY)}});
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    keras::saving::atomic::write_atomically(&path, |out| {
        let mut archive = ArchiveWriter::new("m.keras", out);
        archive.json(container::METADATA, &container::metadata("3.15.1", web_time::UNIX_EPOCH))?;
        archive.json(container::CONFIG, &config)?;
        archive.h5(container::WEIGHTS, weights)?;
        archive.bytes("assets/vocabulary.txt", b"a\nb")?;
        archive.finish().map(|_| ())
    })
    .unwrap();
    assert_eq!(sniff(&path).unwrap().kind, FileKind::Keras);
    let mut archive = Archive::open(&path).unwrap();
    assert_eq!(
        archive.members(),
        ["metadata.json", "config.json", "model.weights.h5", "assets/vocabulary.txt"]
    );
    assert_eq!(archive.json(container::METADATA).unwrap()["date_saved"], "1970-01-01@00:00:00");
    assert_eq!(archive.json(container::CONFIG).unwrap(), config);
    assert_eq!(archive.read("assets/vocabulary.txt").unwrap(), b"a\nb");
    let root = archive.h5(container::WEIGHTS).unwrap().root();
    assert_eq!(root.dataset("layers/dense/vars/0").unwrap().read().unwrap(), array);
    assert_eq!(root.group("layers").unwrap().group_names().unwrap(), ["dense", "flatten"]);
}

#[test]
fn names_that_clash_are_errors() {
    let array = HostTensor::from(1.0f32);
    let mut file = h5::Writer::new();
    file.dataset("a/b", &array).unwrap();
    assert!(file.dataset("a/b", &array).is_err());
    assert!(file.dataset("a/", &array).is_err());
    file.group("a/b/c");
    assert!(file.finish_to("x", Vec::new()).is_err());
    assert!(h5::Writer::new().texts("names", &["x".repeat(70_000)]).is_err());
}

fn written(file: h5::Writer) -> h5::Group {
    let mut bytes = Vec::new();
    file.finish_to("memory", &mut bytes).unwrap();
    h5::File::from_bytes("memory", bytes).unwrap().root()
}

fn bits_of(dtype: DType, bits: &[u64]) -> HostData {
    match dtype {
        DType::Bool => HostData::Bool(bits.iter().map(|b| b % 2 == 1).collect()),
        DType::U8 => HostData::U8(bits.iter().map(|b| *b as u8).collect()),
        DType::U16 => HostData::U16(bits.iter().map(|b| *b as u16).collect()),
        DType::U32 => HostData::U32(bits.iter().map(|b| *b as u32).collect()),
        DType::U64 => HostData::U64(bits.to_vec()),
        DType::I8 => HostData::I8(bits.iter().map(|b| *b as i8).collect()),
        DType::I16 => HostData::I16(bits.iter().map(|b| *b as i16).collect()),
        DType::I32 => HostData::I32(bits.iter().map(|b| *b as i32).collect()),
        DType::I64 => HostData::I64(bits.iter().map(|b| *b as i64).collect()),
        DType::F16 => HostData::F16(bits.iter().map(|b| f16::from_bits(*b as u16)).collect()),
        DType::BF16 => HostData::BF16(bits.iter().map(|b| bf16::from_bits(*b as u16)).collect()),
        DType::F32 => HostData::F32(bits.iter().map(|b| f32::from_bits(*b as u32)).collect()),
        DType::F64 => HostData::F64(bits.iter().map(|b| f64::from_bits(*b)).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn arrays_of_any_dtype_and_shape_read_back(shape in vec(0usize..5, 0..5), seed: u64) {
        let mut file = h5::Writer::new();
        let shape = Shape::from(shape);
        let mix = |i: u64| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let bits: Vec<u64> = (0..shape.size() as u64).map(mix).collect();
        for dtype in DType::ALL {
            let array = HostTensor::from_data(shape.clone(), bits_of(dtype, &bits)).unwrap();
            file.dataset(&format!("group/{dtype}:0"), &array).unwrap();
        }
        let root = written(file);
        for dtype in DType::ALL {
            let array = root.dataset(&format!("group/{dtype}:0")).unwrap().read().unwrap();
            prop_assert_eq!(array.shape(), &shape);
            // Compared as text: a NaN is not equal to itself.
            let expected = bits_of(dtype, &bits);
            prop_assert_eq!(format!("{:?}", array.data()), format!("{expected:?}"));
        }
    }

    #[test]
    fn attributes_read_back(names in vec("[a-zé/:_0-9]{0,30}", 0..40), text in "\\PC{0,99}", long in 0usize..200_000) {
        let mut file = h5::Writer::new();
        file.text("text", text.clone());
        file.bytes("model_config", "x".repeat(long));
        file.group("layer").texts("weight_names", &names).unwrap();
        let root = written(file);
        let attributes = root.attributes().unwrap();
        prop_assert_eq!(attributes.text("text").unwrap(), Some(&text[..]));
        prop_assert_eq!(attributes.text("model_config").unwrap().map(str::len), Some(long));
        let read = root.group("layer").unwrap().attributes().unwrap().texts("weight_names").unwrap();
        prop_assert_eq!(read, Some(names));
    }
}

#[test]
fn long_lists_are_cut_as_keras_cuts_them() {
    // (names, bytes of each, attributes that keras.src.legacy.saving.legacy_h5_format writes)
    for (count, width, parts) in [(600, 100, 1), (646, 100, 2), (5000, 50, 4), (20_000, 30, 10)] {
        let names: Vec<String> = (0..count).map(|i| format!("{i:0width$}")).collect();
        let mut file = h5::Writer::new();
        file.texts("layer_names", &names).unwrap();
        let attributes = written(file).attributes().unwrap();
        assert_eq!(attributes.names().count(), parts, "{count} names of {width} bytes");
        assert_eq!(attributes.texts("layer_names").unwrap().unwrap(), names);
    }
}
