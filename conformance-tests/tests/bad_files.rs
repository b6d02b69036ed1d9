//! Vector files that are damaged, or that prove nothing: each is a failure with its reason, and the run goes on.

use std::fs;
use std::path::Path;

use conformance_tests::{Options, Report, Status, run};

const NAME: &str = "constraints/constraints";

fn vectors(folder: &Path) -> Report {
    let mut options = Options::new("ndarray");
    options.vectors = folder.to_owned();
    run(&options).unwrap()
}

/// A folder with one vector file of the specification, its JSON changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = Options::new("ndarray").vectors.join(NAME);
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(source.with_extension("json")).unwrap()).unwrap();
    change(&mut json);
    fs::write(folder.path().join("a.json"), json.to_string()).unwrap();
    fs::copy(source.with_extension("safetensors"), folder.path().join("a.safetensors")).unwrap();
    folder
}

/// The reason of the first failure, and how many cases there were.
fn failure(folder: &Path) -> (String, usize) {
    let report = vectors(folder);
    let why = report.cases.iter().find_map(|c| match &c.status {
        Status::Failed(why) => Some(why.clone()),
        _ => None,
    });
    (why.expect("nothing failed"), report.cases.len())
}

#[test]
fn a_whole_file_passes() {
    let report = vectors(changed(|_| ()).path());
    assert!(report.is_success(), "{report}");
}

#[test]
fn a_truncated_file_is_a_failure() {
    let folder = changed(|_| ());
    for name in ["a.safetensors", "a.json"] {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (why, cases) = failure(folder.path());
        assert!(why.contains(name) && cases == 1, "{why}");
    }
}

#[test]
fn cases_whose_arrays_are_gone_are_a_failure() {
    let folder = changed(|_| ());
    fs::remove_file(folder.path().join("a.safetensors")).unwrap();
    // Architectures of models are no vector files.
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let (why, cases) = failure(folder.path());
    assert!(why.contains("a.safetensors") && cases == 1, "{why}");
}

#[test]
fn an_id_that_stands_twice_is_a_failure() {
    let folder = changed(|json| json["cases"][1]["id"] = json["cases"][0]["id"].clone());
    assert!(failure(folder.path()).0.contains("several tests"));
}

#[test]
fn an_unknown_format_is_a_failure() {
    let folder = changed(|json| json["format"] = 2.into());
    assert!(failure(folder.path()).0.contains("format"));
}

#[test]
fn bad_cases_fail_and_the_others_are_run() {
    let bad: [(&str, serde_json::Value, &str); 5] = [
        ("kind", "nonesuch".into(), "nonesuch"),
        ("args", serde_json::json!([{ "tensor": "nonesuch" }]), "no tensor `nonesuch`"),
        ("object", serde_json::json!({ "class_name": "Nonesuch", "config": {} }), "Nonesuch"),
        ("outputs", serde_json::json!(0.0), "proves nothing"),
        ("outputs", serde_json::json!(1.5), "where"),
    ];
    for (key, value, reason) in bad {
        let folder = changed(|json| json["cases"][0][key] = value);
        let report = vectors(folder.path());
        assert_eq!(report.count().failed, 1, "{key}: {report}");
        assert!(report.count().passed > 100, "{key}");
        let (why, _) = failure(folder.path());
        assert!(why.contains(reason), "{key}: {why}");
    }
}
