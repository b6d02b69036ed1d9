//! Files made to do harm: each is refused with the name of what is wrong, or read in time and memory that its length explains.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use keras::models::Input;
use keras::prelude::*;
use keras::saving::container::{CONFIG, METADATA, WEIGHTS};
use keras::saving::{LoadOptions, h5};
use keras_spec::HostTensor;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What takes seconds, not minutes: a limit that work in proportion to the square of a file's length is far beyond, and work in
/// proportion to its length far below, also on a machine that does much else.
fn in_time<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
    result
}

fn fails<T>(result: keras::Result<T>, says: &[&str]) {
    let error = result.err().expect("an error").to_string();
    assert!(says.iter().all(|part| error.contains(part)), "{says:?} is not in: {error}");
    assert!(error.len() < 20_000, "a message of {} bytes", error.len());
}

fn from_json(value: &Value) -> keras::Result<Model> {
    LoadOptions::new().report_json(&value.to_string()).map(|(model, _)| model)
}

fn chain(layers: impl IntoIterator<Item = Value>) -> Value {
    json!({ "class_name": "Sequential", "config": { "name": "m", "layers": layers.into_iter().collect::<Vec<_>>() } })
}

fn graph(layers: Vec<Value>, output: &str) -> Value {
    let input = json!({ "class_name": "InputLayer", "name": "i", "inbound_nodes": [],
        "config": { "name": "i", "batch_input_shape": [null, 3] } });
    let layers = [vec![input], layers].concat();
    json!({ "class_name": "Functional", "config": { "name": "f", "layers": layers,
        "input_layers": [["i", 0, 0]], "output_layers": [[output, 0, 0]] } })
}

/// A layer of a graph, called on others.
fn called(class: &str, name: &str, on: &[&str], config: Value) -> Value {
    let mut config = config;
    config["name"] = name.into();
    let inputs: Vec<Value> = on.iter().map(|layer| json!([layer, 0, 0, {}])).collect();
    json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": [inputs] })
}

fn activation(i: usize) -> Value {
    json!({ "class_name": "Activation", "config": { "name": format!("a{i}"), "activation": "relu" } })
}

#[test]
fn many_layers_take_time_by_their_number() {
    let n = 50_000;
    let input =
        json!({ "class_name": "InputLayer", "config": { "name": "i", "batch_input_shape": [null, 3] } });
    let layers = std::iter::once(input).chain((0..n).map(activation));
    let model = in_time("a chain", || from_json(&chain(layers))).unwrap();
    assert_eq!(model.layers().len(), n);
    in_time("its summary", || model.summary_text(Default::default())).unwrap();
}

#[test]
fn graphs_take_time_by_their_number_of_calls() {
    let n = 20_000;
    let name = |i: usize| if i == 0 { "i".to_owned() } else { format!("a{i}") };
    let call = |i: usize| called("Activation", &name(i), &[&name(i - 1)], json!({ "activation": "relu" }));
    // Each layer stands in the list before the one that it is called on.
    let backwards = graph((1..=n).rev().map(call).collect(), &name(n));
    let model = in_time("a graph", || from_json(&backwards)).unwrap();
    assert_eq!(model.layers().len(), n + 1);
    let text = in_time("its summary", || model.summary_text(Default::default())).unwrap();
    assert!(text.contains("a20000 (Activation)"));
    // A chain of calls that long is freed without a stack that deep.
    in_time("the end of a graph", || drop(model));
    // One layer with many calls, and one call of many tensors.
    let mut often = called("Activation", "a", &["i"], json!({ "activation": "relu" }));
    often["inbound_nodes"] = vec![json!([["i", 0, 0, {}]]); n].into();
    in_time("many calls", || from_json(&graph(vec![often], "a"))).unwrap();
    in_time("many tensors", || from_json(&graph(vec![called("Add", "a", &vec!["i"; n], json!({}))], "a")))
        .unwrap();
}

#[test]
fn graphs_that_cannot_be_are_refused() {
    let dense = |name: &str, on: &str| called("Dense", name, &[on], json!({ "units": 3 }));
    let fails = |layers: Vec<Value>, says: &[&str]| fails(from_json(&graph(layers, "a")), says);
    fails(vec![dense("a", "b"), dense("b", "a")], &["a loop or a gap at a, b"]);
    fails(vec![dense("a", "a")], &["a loop or a gap at a"]);
    fails(vec![dense("a", "nowhere")], &["nowhere"]);
    fails(vec![dense("a", "i"), dense("a", "i")], &["two layers are named `a`"]);
    for (call, result) in
        [(json!(99_999_999_999_u64), json!(0)), (json!(0), json!(77)), (json!(-1), json!(0))]
    {
        let mut layer = dense("a", "i");
        layer["inbound_nodes"] = json!([[["i", call, result, {}]]]);
        fails(vec![layer], &["a"]);
    }
    // A hundred times twice as wide: no number holds that.
    let name = |i: usize| if i == 0 { "i".to_owned() } else { format!("a{i}") };
    let twice =
        |i: usize| called("Concatenate", &name(i), &[&name(i - 1), &name(i - 1)], json!({ "axis": -1 }));
    let model = from_json(&graph((1..=100).map(twice).collect(), &name(100))).unwrap();
    let width = model.outputs().unwrap()[0].1.shape.last().copied().flatten();
    assert_eq!(width, Some(usize::MAX));
}

/// Each of a thousand sums hands on the masks of all layers before it.
#[test]
fn masks_that_meet_do_not_multiply() {
    let mut layers = vec![called("Masking", "m0", &["i"], json!({}))];
    for i in 1..1000 {
        layers.push(called("Masking", &format!("m{i}"), &["i"], json!({})));
        let before = if i == 1 { "m0".to_owned() } else { format!("a{}", i - 1) };
        layers.push(called("Add", &format!("a{i}"), &[&before, &format!("m{i}")], json!({})));
    }
    fails(from_json(&graph(layers, "a999")), &["Add", "masks of too many layers meet"]);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let dense = |units: &str| {
        let text = chain([json!({ "class_name": "Dense",
            "config": { "name": "d", "units": "UNITS", "batch_input_shape": [null, 3] } })]);
        LoadOptions::new().report_json(&text.to_string().replace("\"UNITS\"", units)).map(|(model, _)| model)
    };
    assert!(dense("2").is_ok());
    for units in
        ["123456789012345678901234567890", "-5", "0", "2.5", "NaN", "Infinity", "\"2\"", "[]", "null"]
    {
        fails(dense(units), &["Dense", "units"]);
    }
    fails(dense("9223372036854775807"), &["layer `d` (Dense)", "kernel", "memory"]);
    fails(dense("10000000000"), &["layer `d` (Dense)", "kernel", "memory"]);
    let huge = 1_u64 << 40;
    for (class, config) in [
        ("Conv1D", json!({ "filters": 2, "kernel_size": huge, "padding": "same" })),
        ("Embedding", json!({ "input_dim": huge, "output_dim": huge })),
        ("UpSampling1D", json!({ "size": u64::MAX >> 2 })),
        ("ZeroPadding1D", json!({ "padding": u64::MAX >> 2 })),
        ("RepeatVector", json!({ "n": u64::MAX >> 2 })),
    ] {
        let mut config = config;
        config["name"] = "x".into();
        let shape = if ["Embedding", "RepeatVector"].contains(&class) {
            json!([null, 8])
        } else {
            json!([null, 8, 2])
        };
        config["batch_input_shape"] = shape.clone();
        let made = from_json(&chain([json!({ "class_name": class, "config": config })]));
        let dims = vec![8; shape.as_array().unwrap().len() - 2];
        let shape: Vec<usize> = [&[1], dims.as_slice(), &[if dims.is_empty() { 8 } else { 2 }]].concat();
        let x = HostTensor::full(shape, keras_spec::DType::F32, 1.0);
        fails(made.and_then(|model| model.predict_on_batch(vec![x])), &["layer `x`"]);
    }
}

#[test]
fn text_that_is_deep_or_long_is_refused() {
    let nested = |open: &str, close: &str| {
        let n = 100_000;
        format!(r#"{{"class_name": "Sequential", "config": {}1{}}}"#, open.repeat(n), close.repeat(n))
    };
    for text in [nested("[", "]"), nested("{\"a\": ", "}")] {
        fails(LoadOptions::new().report_json(&text), &["not JSON", "recursion"]);
        fails(LoadOptions::new().report_yaml(&text), &["not YAML"]);
    }
    // An object where it does not belong is not repeated as long as it is.
    let list = vec![1; 1 << 20];
    fails(from_json(&chain([json!(list)])), &["expected a name or an object", "bytes more"]);
    fails(
        from_json(&json!({ "class_name": "n".repeat(1 << 20), "config": {} })),
        &["unknown layer", "bytes more"],
    );
    let named = json!({ "class_name": "Dense", "config": { "name": "n".repeat(1 << 20), "units": -1 } });
    fails(from_json(&chain([named])), &["units", "bytes more"]);
    let long = activation(0).to_string().replace("a0", &"n".repeat(1 << 20));
    let input =
        json!({ "class_name": "InputLayer", "config": { "name": "i", "batch_input_shape": [null, 3] } });
    let model = from_json(&chain([input, serde_json::from_str(&long).unwrap()])).unwrap();
    in_time("a summary", || model.summary_text(Default::default())).unwrap();
}

#[test]
fn yaml_neither_runs_nor_blows_up() {
    let yaml = |layers: &str| {
        let text = format!("class_name: Sequential\nconfig:\n  name: m\n  layers: {layers}\n");
        LoadOptions::new().report_yaml(&text)
    };
    let anchors: String = (0..100).map(|i| format!("&x{i} [")).collect();
    fails(
        yaml(&format!("{anchors}{}{}", "1,".repeat(100_000), "]".repeat(100))),
        &["anchors of more than the text"],
    );
    let mut bomb = "- &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
    for i in 1..30 {
        bomb += &format!("  - &a{i} [{}]\n", [format!("*a{}", i - 1).as_str(); 9].join(", "));
    }
    fails(yaml(&format!("\n  {bomb}")), &["more than the text holds"]);
    fails(yaml("&a [*a]"), &["alias"]);
    let lambda =
        "[{class_name: Lambda, config: {name: l, function: !!python/object/apply:os.system ['true']}}]";
    fails(yaml(lambda), &["`l`", "never run"]);
}

/// An archive of a model with these members in place of its own.
fn archive(changed: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    let model = Sequential::new().add(Input::new([3])).add(Dense::new(2)).build().unwrap();
    model.save(&path).unwrap();
    let mut old = keras::saving::container::Archive::open(&path).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for member in [METADATA, CONFIG, WEIGHTS] {
        let bytes = match changed.iter().find(|(name, _)| *name == member) {
            Some((_, bytes)) => bytes.clone(),
            None => old.read(member).unwrap(),
        };
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(member, options).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn members_that_unpack_to_far_more_are_refused() {
    assert!(keras::load_model_from_bytes(archive(&[])).is_ok());
    let zeros = [b"[".as_slice(), &b"0,".repeat(8 << 20), b"0]"].concat();
    for member in [METADATA, CONFIG] {
        let bytes = archive(&[(member, zeros.clone())]);
        fails(keras::load_model_from_bytes(bytes), &[member, "refused", "16777219 bytes"]);
    }
}

/// An archive of many members that are all the same bytes of it.
#[test]
fn members_in_one_place_are_refused() {
    let mut bytes = archive(&[]);
    let find = |bytes: &[u8], sign: &[u8; 4]| bytes.windows(4).position(|w| w == sign).unwrap();
    let (directory, end) = (find(&bytes, b"PK\x01\x02"), find(&bytes, b"PK\x05\x06"));
    let name_at = 46;
    let mut entry = bytes[directory..directory + name_at + METADATA.len()].to_vec();
    // Another name for the member that is first.
    entry[name_at..].copy_from_slice(b"assets/x.json");
    let tail = bytes.split_off(end);
    bytes.extend(&entry);
    let (count, size) = (4u16, (end - directory + entry.len()) as u32);
    bytes.extend(&tail[..8]);
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(&tail[16..]);
    fails(keras::load_model_from_bytes(bytes), &["members that lie over each other"]);
}

fn hostile() -> h5::Group {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files/made-hostile.h5");
    h5::File::open(path).unwrap().root()
}

#[test]
fn what_is_no_array_of_keras_is_named() {
    let root = hostile();
    let refused = |path: &str, says: &str| {
        let error = root.dataset(path).err().unwrap().to_string();
        assert!(error.contains(&format!("made-hostile.h5: /{path}: ")) && error.contains(says), "{error}");
    };
    let names =
        ["compound", "array", "opaque", "long_double", "fixed_strings", "strings", "ragged", "references"];
    for name in names.into_iter().chain(["regions", "bitfield"]) {
        refused(&format!("types/{name}"), "expected numbers or booleans, found ");
    }
    refused("shapes/unfilled", "refused");
    refused("shapes/chunk", "refused");
    refused("shapes/null", "refused");
    let attributes = root.attributes().unwrap();
    assert!(
        attributes.texts("matrix").unwrap_err().to_string().contains("/@matrix: expected a list of strings")
    );
    assert!(attributes.text("reference").unwrap_err().to_string().contains("/@reference: expected a string"));
    assert_eq!(attributes.texts("raw").unwrap().unwrap().len(), 2);
}

#[test]
fn links_do_not_multiply_what_a_file_holds() {
    let root = hostile();
    let refused = |result: keras::saving::Result<usize>, says: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says) && error.len() < 2000, "{error}");
    };
    let same = root.group("same").unwrap();
    assert_eq!(same.dataset_names().unwrap().len(), 16);
    refused(same.count_elements(), "arrays that add up to more than the file holds");
    refused(root.group("long").unwrap().count_elements(), "a path of ");
    // Its link leads to itself.
    assert_eq!(root.group("soft").unwrap().dataset_paths().unwrap(), ["real"]);
    refused(root.group("endless").unwrap().count_elements(), "types inside types");
}

#[test]
fn soft_links_are_followed_within_the_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files/made-links.h5");
    let root = h5::File::open(path).unwrap().root();
    let links = root.group("links").unwrap();
    assert_eq!(links.dataset_names().unwrap(), ["absolute", "hard", "relative"]);
    assert_eq!(links.group_names().unwrap(), ["group"]);
    let numbers = |path: &str| root.dataset(path).unwrap().read().unwrap().to_f64_vec();
    assert_eq!(numbers("links/absolute"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(numbers("links/group/array"), numbers("real/array"));
    assert_eq!(numbers("links/relative"), [1.0, 1.0]);
    for nowhere in ["links/dangling", "links/twice", "links/self", "elsewhere/nothing"] {
        let error = root.dataset(nowhere).err().unwrap().to_string();
        assert!(error.contains(&format!("made-links.h5: /{nowhere}: there is no such object")), "{error}");
    }
    assert_eq!(root.group("round").unwrap().dataset_paths().unwrap(), ["array", "back/array"]);
    let error = root.group("many").unwrap().dataset_names().unwrap_err().to_string();
    assert!(error.contains("made-links.h5: /many: refused: more than 512 soft links"), "{error}");
}

/// Links out of the file are named with where they lead, in each format that groups have.
#[test]
fn what_is_in_other_files_is_refused() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files");
    let refused = |file: &str, path: &str, says: &str| {
        let root = h5::File::open(directory.join(file)).unwrap().root();
        let (array, group) = (root.dataset(path).err().unwrap(), root.group(path).err().unwrap());
        for error in [array.to_string(), group.to_string()] {
            assert!(error.contains(&format!("{file}: /{path}: ")) && error.contains(says), "{error}");
        }
        assert!(root.find_dataset(path).is_err());
    };
    let array = "refused: an external link to /array in the file `other.h5`";
    refused("made-links.h5", "elsewhere/array", array);
    refused("made-external.h5", "latest/array", array);
    refused("made-external.h5", "ordered/array", array);
    refused("made-external.h5", "latest/group", "refused: an external link to / in the file `/tmp/other.h5`");
    let root = h5::File::open(directory.join("made-external.h5")).unwrap().root();
    assert_eq!(root.group("latest").unwrap().dataset_names().unwrap(), ["hard"]);
    assert_eq!(root.group("many").unwrap().dataset_names().unwrap().len(), 20);
    // Where so many are, links are not told from what is not there.
    for path in ["many/soft", "many/array"] {
        let error = root.dataset(path).err().unwrap().to_string();
        let says = format!("made-external.h5: /{path}: there is no such object, or it is a link");
        assert!(error.contains(&says), "{error}");
    }
    for (path, says) in [("virtual", "refused: a virtual dataset"), ("stored", "external files")] {
        let error = root.dataset(path).err().unwrap().to_string();
        assert!(error.contains(&format!("made-external.h5: /{path}: ")) && error.contains(says), "{error}");
    }
    let error = root.dataset("latest/nothing").err().unwrap().to_string();
    assert!(error.contains("there is no such object"), "{error}");
}

/// Sizes that a configuration says and no file has: a look at such a model takes no time and no memory by them.
#[test]
fn what_is_only_said_to_be_large_costs_nothing() {
    let input = |shape: Value| json!({ "class_name": "InputLayer", "config": { "name": "i", "batch_input_shape": shape } });
    let look = |layers: Vec<(&str, Value)>, shape: Value| {
        let named = layers.iter().enumerate().map(|(i, (class, config))| {
            let mut config = config.clone();
            config["name"] = format!("l{i}").into();
            json!({ "class_name": class, "config": config })
        });
        let value = chain(std::iter::once(input(shape)).chain(named));
        let start = Instant::now();
        let loaded = LoadOptions::new().initialize(false).report_json(&value.to_string());
        // A machine may lack even the addresses for a weight, which is an error.
        let text = loaded.and_then(|(model, _)| model.summary_text(Default::default()));
        if let Err(error) = text {
            assert!(error.to_string().contains("memory"), "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{} took {:?}", layers[0].0, start.elapsed());
    };
    let orthogonal = json!({ "class_name": "Orthogonal", "config": {} });
    for (class, config, shape) in [
        ("Dense", json!({ "units": 300_000_000 }), json!([null, 1])),
        ("Dense", json!({ "units": 1_000_000_000 }), json!([null, 3])),
        ("Dense", json!({ "units": 9_000, "kernel_initializer": orthogonal }), json!([null, 9_000])),
        ("Embedding", json!({ "input_dim": 100_000_000, "output_dim": 4 }), json!([null, 3])),
        (
            "Conv1D",
            json!({ "filters": 3, "kernel_size": 100_000_000, "padding": "same" }),
            json!([null, null, 1]),
        ),
        ("LSTM", json!({ "units": 9_000 }), json!([null, 3, 3])),
        ("Resizing", json!({ "height": 1_000_000, "width": 1_000_000 }), json!([null, 4, 4, 3])),
        ("RepeatVector", json!({ "n": 1_000_000_000 }), json!([null, 3])),
        ("UpSampling2D", json!({ "size": 100_000 }), json!([null, 4, 4, 3])),
        ("ZeroPadding2D", json!({ "padding": 1_000_000_000 }), json!([null, 4, 4, 3])),
        ("Flatten", json!({}), json!([null, 1_000_000_000, 1_000_000_000])),
    ] {
        look(vec![(class, config)], shape);
    }
    look(vec![("Dense", json!({ "units": 10_000 })); 100], json!([null, 10_000]));
    let mut nested = json!({ "class_name": "Dense", "config": { "name": "d", "units": 3 } });
    for i in 0..40 {
        nested = json!({ "class_name": "TimeDistributed", "config": { "name": format!("t{i}"), "layer": nested } });
    }
    let shape = [vec![Value::Null], vec![json!(1_000_000); 40], vec![json!(3)]].concat();
    look(vec![("TimeDistributed", nested["config"].clone())], shape.into());
}

/// Weights by layer, whose lists of names name the same over and over.
#[test]
fn names_do_not_multiply_what_a_file_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.h5");
    let model = Sequential::new().add(Input::new([3])).add(Dense::new(2)).build().unwrap();
    for (layers, arrays) in [(1, 200), (200, 1)] {
        let mut file = h5::Writer::new();
        file.texts("layer_names", &vec!["dense"; layers]).unwrap();
        file.text("keras_version", "2.15.0");
        file.text("backend", "tensorflow");
        let dense = file.group("dense");
        dense.texts("weight_names", &vec!["kernel:0"; arrays]).unwrap();
        dense.dataset("kernel:0", &HostTensor::new([8192], vec![0.5_f32; 8192]).unwrap()).unwrap();
        file.finish_to("w.h5", std::fs::File::create(&path).unwrap()).unwrap();
        fails(model.load_weights(&path), &["w.h5: /dense/kernel:0", "more than the file holds"]);
    }
}

#[test]
fn wide_groups_take_time_by_what_is_in_them() {
    let mut file = h5::Writer::new();
    let n = 20_000;
    for i in 0..n {
        file.dataset(&i.to_string(), &HostTensor::new([1], vec![i as f32]).unwrap()).unwrap();
    }
    for i in 0..n / 10 {
        file.group(&format!("g{i}/vars")).text("name", "x");
    }
    let mut bytes = Vec::new();
    file.finish_to("wide.h5", &mut bytes).unwrap();
    let root = h5::File::from_bytes("wide.h5", bytes).unwrap().root();
    in_time("a walk", || assert_eq!(root.count_elements().unwrap(), n));
    in_time("arrays by name", || {
        for i in 0..n {
            assert_eq!(root.dataset(&i.to_string()).unwrap().shape(), [1]);
        }
    });
    in_time("groups by name", || {
        for i in 0..n / 10 {
            assert!(root.find_group(&format!("g{i}/vars")).unwrap().is_some());
            assert!(root.find_group(&format!("h{i}/vars")).unwrap().is_none());
        }
    });
}
