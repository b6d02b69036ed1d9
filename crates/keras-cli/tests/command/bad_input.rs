//! Whatever is wrong with a file is an error that names it, never a panic.

use crate::{Folder, command, fixture, golden, keras};

/// The commands that read a model, with a file in the place of `FILE`.
fn commands(file: &str, folder: &Folder) -> Vec<Vec<String>> {
    let new = folder.file("new.keras");
    let all: [&[&str]; 7] = [
        &["summary", file],
        &["inspect", file],
        &["plot", file],
        &["predict", file, "--input", "x.npy"],
        &["convert", file, &new],
        &["diff", file, file],
        &["bench", file],
    ];
    all.iter().map(|c| c.iter().map(|a| (*a).to_owned()).collect()).collect()
}

#[test]
fn bad_models_are_named() {
    let folder = Folder::new();
    let keras_file = std::fs::read(golden("cnn/cnn.keras")).unwrap();
    let h5 = std::fs::read(golden("cnn/cnn.h5")).unwrap();
    let json = std::fs::read(golden("cnn/cnn.json")).unwrap();
    let mut flipped = h5.clone();
    flipped.iter_mut().skip(100).step_by(97).for_each(|b| *b ^= 0x55);
    let bad = [
        folder.file("missing.keras"),
        folder.with("empty.keras", ""),
        folder.with("cut.keras", &keras_file[..keras_file.len() / 2]),
        folder.with("cut.h5", &h5[..h5.len() / 2]),
        folder.with("cut.json", &json[..json.len() / 2]),
        folder.with("flipped.h5", flipped),
        folder.with("picture.h5", std::fs::read(fixture("pictures/a.png")).unwrap()),
        folder.with("array.keras", std::fs::read(fixture("x.npy")).unwrap()),
        folder.with("text.json", "[1, 2, 3]"),
        folder.with("header.safetensors", [&9_u64.to_le_bytes()[..], b"{\"a\": 12}"].concat()),
        {
            std::fs::create_dir(folder.path("folder.keras")).unwrap();
            folder.file("folder.keras")
        },
    ];
    for file in &bad {
        let name = file.rsplit('/').next().unwrap();
        for arguments in commands(file, &folder) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let error = keras(&arguments).failed(3);
            assert!(error.starts_with("error: ") && error.contains(name), "{arguments:?}: {error}");
        }
    }
    assert!(!folder.path("new.keras").exists());
}

#[test]
fn bad_data_is_named() {
    let folder = Folder::new();
    let npy = std::fs::read(fixture("x.npy")).unwrap();
    let npz = std::fs::read(fixture("x.npz")).unwrap();
    let mut bomb = npy.clone();
    let at = bomb.windows(12).position(|w| w == b"(6, 8, 8, 1)").unwrap();
    bomb[at..at + 12].copy_from_slice(b"(999999999,)");
    std::fs::create_dir(folder.path("nothing")).unwrap();
    for (file, code, why) in [
        (folder.file("missing.npy"), 3, "No such file"),
        (folder.file("missing.xyz"), 3, "no such file"),
        (folder.with("empty.npy", ""), 3, "no .npy file"),
        (folder.with("cut.npy", &npy[..npy.len() / 2]), 3, "cut off"),
        (folder.with("bomb.npy", bomb), 3, "cut off"),
        (folder.with("cut.npz", &npz[..npz.len() / 2]), 3, "no .npz file"),
        (folder.with("model.npz", std::fs::read(golden("cnn/cnn.keras")).unwrap()), 3, "is no .npy"),
        (folder.with("words.csv", "a,b\n1,2\nthree,4\n"), 3, "line 3: expected a number, found `three`"),
        (folder.with("ragged.csv", "1,2\n3\n"), 3, "fields"),
        (folder.with("empty.csv", ""), 3, "no numbers"),
        (
            folder.with("cut.png", &std::fs::read(fixture("pictures/b/colour.png")).unwrap()[..100]),
            3,
            "cut.png",
        ),
        (folder.with("no.safetensors", "{}"), 3, "no.safetensors"),
        (folder.with("notes.txt", "hello"), 3, "expected .npy"),
        (folder.file("nothing"), 3, "without pictures"),
        (folder.with("small.csv", "1,2\n3,4\n"), 4, "takes shape (None, 8, 8, 1), found (2, 2)"),
        (fixture("two.npz"), 4, "1 input"),
    ] {
        let error = keras(&["predict", &golden("cnn/cnn.keras"), "--input", &file]).failed(code);
        let name = file.rsplit('/').next().unwrap();
        assert!(error.contains(name) && error.contains(why), "{error}");
    }
}

#[test]
fn outputs_are_checked_before_the_work() {
    let folder = Folder::new();
    let predict = |output: &str, code: i32| {
        let input = fixture("two.npz");
        let model = golden("functional/two_in_two_out.keras");
        keras(&["predict", &model, "--input", &input, "-o", &folder.file(output)]).failed(code)
    };
    assert!(predict("y.xyz", 2).contains("y.xyz"));
    assert!(predict("y.npy", 2).contains(".npz"));
    assert!(predict("no/y.npz", 3).contains("y.npz"));
}

#[test]
fn errors_are_json_where_answers_are() {
    let error = keras(&["inspect", "missing.keras", "--json"]).failed(3);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["exit_code"], 3);
    assert!(error["error"].as_str().unwrap().contains("missing.keras"));
}

#[test]
fn a_wrong_command_line_is_json_too() {
    let error: serde_json::Value =
        serde_json::from_str(&keras(&["predict", "m.keras", "--json"]).failed(2)).unwrap();
    assert_eq!(error["exit_code"], 2);
    assert!(error["error"].as_str().unwrap().contains("--input"), "{error}");
}

/// What a file holds does not command the terminal, and is not repeated without end.
#[test]
fn names_in_files_are_made_visible() {
    let folder = Folder::new();
    let text = |name: &str, units: i32| {
        serde_json::json!({ "class_name": "Sequential", "config": { "name": name, "layers": [{
            "class_name": "Dense", "config": { "name": name, "units": units, "batch_input_shape": [null, 3] } }] } })
        .to_string()
    };
    let name = "a\u{1b}[2J\u{1b}]0;b\u{7}\u{0}c\u{9b}d";
    let file = folder.with("m.json", text(name, 2));
    for command in ["summary", "inspect"] {
        let out = keras(&[command, &file]).good();
        assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
        assert!(out.contains("\\u{1b}"), "{out:?}");
    }
    let error = keras(&["summary", &folder.with("wrong.json", text(name, -1))]).failed(3);
    assert!(error.contains("\\u{1b}") && !error.contains('\u{1b}'), "{error:?}");
    let error = keras(&["summary", &folder.with("long.json", text(&"n".repeat(1 << 20), -1))]).failed(3);
    assert!(error.len() < 10_000, "{}", error.len());
}

/// The environment's backend is checked too.
#[test]
fn a_backend_that_is_not_there_is_an_error() {
    let ran =
        command(&["summary", &golden("cnn/cnn.keras")]).env("KERAS_BACKEND", "abacus").output().unwrap();
    let error = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(5) && error.contains("abacus"), "{error}");
}

/// Such names are good on Unix; what is printed of them has a replacement character.
#[test]
#[cfg(unix)]
fn names_that_are_not_utf_8_work() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let folder = Folder::new();
    let named = |name: &[u8]| folder.path("").join(OsString::from_vec(name.to_vec())).into_os_string();
    let (model, new, data) = (named(b"m\xff.keras"), named(b"n\xff.h5"), named(b"x\xff.npy"));
    std::fs::copy(golden("cnn/cnn.keras"), &model).unwrap();
    std::fs::copy(fixture("x.npy"), &data).unwrap();
    let mut input = OsString::from("input_layer=");
    input.push(&data);
    let (svg, out) = (named(b"p\xff.svg"), named(b"y\xff.npy"));
    let runs: [(&str, &[&OsString], &[&str]); 6] = [
        ("inspect", &[&model], &["file"]),
        ("convert", &[&model, &new], &["old", "new"]),
        ("diff", &[&model, &new], &["a", "b"]),
        ("plot", &[&model, &"-o".into(), &svg], &["output"]),
        ("predict", &[&model, &"--input".into(), &data], &[]),
        ("predict", &[&model, &"--input".into(), &input, &"-o".into(), &out], &["output"]),
    ];
    for (name, arguments, printed) in runs {
        let ran = command(&[name, "--json"]).args(arguments).output().unwrap();
        let error = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success(), "{name}: {error}");
        let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        for key in printed {
            assert!(answer[*key].as_str().unwrap().contains('\u{fffd}'), "{name}: {answer}");
        }
    }
}

/// Each layer compared with every other, or each line of the table with all, would take this test minutes.
#[test]
fn long_models_are_compared() {
    let folder = Folder::new();
    let write = |name: &str, first: usize| {
        let layers: Vec<String> = (first..first + 20_000)
            .map(|i| {
                format!(
                    r#"{{"class_name": "Activation", "config": {{"name": "a{i}", "activation": "tanh"}}}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{}]}}}}"#,
            layers.join(", ")
        );
        folder.with(name, text)
    };
    let (a, b) = (write("a.json", 0), write("b.json", 1));
    let ran = keras(&["diff", &a, &b]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("layers[a0]") && ran.out.contains("layers[a20000]"), "{}", ran.out);
}
