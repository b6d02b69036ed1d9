//! The program: what it prints, writes and exits with.

use std::path::Path;
use std::process::{Command, Output};

use conformance_tests::Report;

fn suite(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conformance-tests")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a few tests of a backend and writes their results.
fn results(backend: &str, to: &Path) -> Output {
    let to = to.to_str().unwrap();
    suite(&["run", "--backend", backend, "--filter", "properties/sort/", "--json", to])
}

#[test]
fn run_prints_a_table_and_the_counts_last() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("results.json");
    let ran = results("minimal", &json);
    let out = text(&ran.stdout);
    assert!(ran.status.success(), "{out}{}", text(&ran.stderr));
    assert!(out.contains("core") && out.contains("complete"), "{out}");
    assert!(out.ends_with("\n13 passed, 0 failed, 0 skipped\n"), "{out}");
    assert_eq!(Report::read(&json).unwrap().count().passed, 13);
}

#[test]
fn one_test_is_run_by_its_id() {
    let id = "properties/sort/float32";
    let ran = suite(&["run", "--backend", "minimal", "--id", id]);
    assert!(text(&ran.stdout).ends_with("\n1 passed, 0 failed, 0 skipped\n"));
    let ran = suite(&["run", "--backend", "minimal", "--id", "properties/sort/float"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("no test is selected"));
}

#[test]
fn reports_are_made_of_several_results() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (a, b) = (file("a.json"), file("b.json"));
    results("minimal", &a);
    results("ndarray", &b);
    let [a, b, page, badge] =
        [a, b, file("page.md"), file("badge.svg")].map(|p| p.to_str().unwrap().to_owned());
    let ran = suite(&["report", "--results", &a, "--results", &b, "--markdown", &page, "--badge", &badge]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("| tier | minimal:cpu | ndarray:cpu |"), "{page}");
    assert!(page.contains("| softmax | composed | fused |"), "{page}");
    assert!(std::fs::read_to_string(badge).unwrap().contains("100 %"));
    let ran = suite(&["report", "--results", "/nonesuch"]);
    assert!(!ran.status.success() && text(&ran.stderr).contains("/nonesuch"));
}

#[test]
fn bench_compares_two_backends() {
    let ran = suite(&["bench", "--backend", "ndarray", "--against", "ndarray", "--filter", "argmax"]);
    let out = text(&ran.stdout);
    assert!(ran.status.success() && out.contains("ratio") && out.contains("argmax"), "{out}");
}

#[test]
fn what_is_asked_for_wrongly_is_an_error() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "[[expected-failure]]\nid = 1\n").unwrap();
    let path = list.path().to_str().unwrap();
    for (arguments, reason) in [
        (&["run"][..], "--backend"),
        (&["run", "--backend", "nonesuch"], "nonesuch"),
        (&["run", "--backend", "minimal", "--vectors", "/nonesuch"], "/nonesuch"),
        (&["run", "--backend", "minimal", "--expected", path], path),
        (&["run", "--backend", "minimal", "--update"], "--expected"),
    ] {
        let ran = suite(arguments);
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        assert!(text(&ran.stderr).contains(reason), "{arguments:?}: {}", text(&ran.stderr));
    }
}
