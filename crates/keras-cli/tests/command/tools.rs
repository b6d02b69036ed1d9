//! `backends`, `bench`, `conformance`, `completions`, `man`, and what all commands have in common.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::{Folder, command, golden, json, keras};

#[test]
fn backends_are_listed_with_their_devices() {
    let out = keras(&["backends"]).good();
    assert!(
        out.contains("ndarray") && out.contains("works") && out.contains("models run on ndarray:cpu"),
        "{out}"
    );
    let answer = json(&["backends"]);
    let ndarray = answer["backends"].as_array().unwrap().iter().find(|b| b["name"] == "ndarray").unwrap();
    assert_eq!(ndarray["devices"], serde_json::json!(["cpu"]));
    let ran = command(&["backends"]).env("KERAS_BACKEND", "abacus").output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("no backend is chosen"));
}

#[test]
fn bench_measures_prediction_and_training() {
    let quick = ["bench", "--seconds", "0.01", "--batch-size", "1,4"];
    for model in
        ["cnn/cnn_compiled.keras", "functional/two_in_two_out_compiled.keras", "layers/embedding.keras"]
    {
        let answer = json(&[&quick[..], &[&golden(model)]].concat());
        let rows = answer["results"].as_array().unwrap();
        assert_eq!((rows.len(), rows[1]["batch_size"].as_u64()), (2, Some(4)), "{model}");
        for row in rows {
            assert!(row["predict_samples_per_second"].as_f64().unwrap() > 0.0, "{model}: {answer}");
            let trains = row["train_seconds"].as_f64().is_some_and(|t| t > 0.0);
            assert_eq!(trains, model.contains("compiled"), "{model}: {answer}");
        }
    }
    let text = keras(&[&quick[..], &[&golden("cnn/cnn_compiled.keras")]].concat()).good();
    assert!(text.contains("predict ms") && text.contains("train ms"), "{text}");
    let text = keras(&[&quick[..], &["--no-train", &golden("cnn/cnn_compiled.keras")]].concat()).good();
    assert!(!text.contains("train ms"), "{text}");
    keras(&["bench", "--seconds", "-1", &golden("cnn/cnn.keras")]).failed(2);
    keras(&["bench", "--batch-size", "0", &golden("cnn/cnn.keras")]).failed(2);
}

#[test]
fn conformance_is_handed_over() {
    let out =
        keras(&["conformance", "run", "--backend", "minimal", "--filter", "properties/sort/float32"]).good();
    assert!(out.ends_with("\n1 passed, 0 failed, 0 skipped\n"), "{out}");
    let ran = keras(&["conformance", "run", "--backend", "abacus"]);
    assert!(ran.code == 1 && ran.err.contains("abacus"), "{}", ran.err);
    let folder = Folder::new();
    let file = folder.file("results.json");
    keras(&["conformance", "run", "--backend", "ndarray", "--filter", "threads/arg", "--json", &file]).good();
    assert!(std::fs::read_to_string(file).unwrap().contains("threads/arg"));
}

#[test]
fn shells_get_their_completions() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef keras"), ("fish", "complete -c keras")] {
        let script = keras(&["completions", shell]).good();
        assert!(script.contains(sign) && script.contains("inspect"), "{shell}");
    }
    assert_eq!(json(&["completions", "powershell"])["shell"], "powershell");
    keras(&["completions", "abacus"]).failed(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    let answer = json(&["man", &folder.file("man/man1")]);
    let pages = answer["pages"].as_array().unwrap();
    let help = keras(&["help"]).good();
    assert!(pages.len() > 10, "{answer}");
    for page in pages {
        let page = page.as_str().unwrap();
        let text = std::fs::read_to_string(folder.path("man/man1").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
        let name = page.trim_end_matches(".1").trim_start_matches("keras-");
        assert!(name == "keras" || help.contains(name), "{page}");
    }
    let file = folder.with("file", "");
    let error = keras(&["man", &file]).failed(3);
    assert!(error.contains("file"), "{error}");
}

#[test]
fn colours_are_for_terminals() {
    let file = golden("cnn/cnn.keras");
    let plain = keras(&["inspect", &file]).good();
    assert!(!plain.contains('\u{1b}'));
    let coloured = keras(&["inspect", "--color", "always", &file]).good();
    assert!(coloured.contains('\u{1b}'));
    let ran = command(&["inspect", &file]).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!ran.stdout.contains(&0x1b));
}

/// `keras … | head -1` ends like any other program.
#[test]
fn a_closed_pipe_is_no_failure() {
    let file = golden("cnn/cnn.keras");
    for arguments in [vec!["completions", "bash"], vec!["inspect", &file, "--json"], vec!["plot", &file]] {
        let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Closed before anything is written.
        drop(child.stdout.take());
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*error), (Some(0), ""), "{arguments:?}");
    }
    let mut child = command(&["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success() && !line.is_empty());
}

#[test]
fn the_command_line_explains_itself() {
    let help = keras(&["--help"]).good();
    assert!(help.contains("Exit codes:") && !help.contains("digests"), "{help}");
    assert!(keras(&["--version"]).good().starts_with("keras 0."));
    for arguments in [&[][..], &["abacus"], &["predict", "model.keras"], &["summary"]] {
        keras(arguments).failed(2);
    }
}
