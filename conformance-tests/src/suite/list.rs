//! Which tests there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use keras_spec::Device;

use super::{Options, RunError, Test};
use crate::kinds::{self, Failure, Part};
use crate::tier::Tier;
use crate::vectors::{Case, VectorError, VectorFile};
use crate::{life, properties, threads};

/// Every test of the suite on a device; of a folder of other vectors, those.
pub(super) fn tests(options: &Options, device: &Device) -> Result<Vec<Test>, RunError> {
    let mut tests = Vec::new();
    let mut layers = Vec::new();
    for path in VectorFile::find(&options.vectors)? {
        let place = path.strip_prefix(&options.vectors).unwrap_or(&path).display().to_string();
        match VectorFile::read(&path) {
            Ok(file) => {
                for case in file.cases.into_iter().map(Arc::new) {
                    layers.extend((case.kind == "layer").then(|| case.clone()));
                    tests.extend(halves(case, &place));
                }
            }
            Err(e) => tests.push(unreadable(&path, place, e)),
        }
    }
    if options.is_whole() {
        tests.extend(properties::tests(device));
        tests.extend(threads::tests(options));
        tests.extend(life::tests(&layers));
    }
    tests.extend(twice(&tests));
    tests.sort_by_key(|t| t.tier);
    Ok(tests)
}

/// A vector's results, and its gradients if it has any.
fn halves(case: Arc<Case>, place: &str) -> impl Iterator<Item = Test> {
    let test = |id: String, tier: Tier, part: Part| {
        let case = case.clone();
        Test {
            id,
            tier,
            kind: case.kind.clone(),
            class_name: case.class.clone(),
            file: place.to_owned(),
            exclusive: case.kind == "seeded_model" || !case.json("python_seed").is_null(),
            work: Box::new(move |device| kinds::run(&case, part, device)),
        }
    };
    let results = test(case.id.clone(), Tier::of_kind(&case.kind), Part::Results);
    let gradients =
        kinds::has_gradients(&case).then(|| test(format!("{}#grad", case.id), Tier::Grad, Part::Gradients));
    [Some(results), gradients].into_iter().flatten()
}

/// A failure for every id that several tests have: lists of expected failures could not tell them apart.
fn twice(tests: &[Test]) -> Vec<Test> {
    let mut seen = BTreeSet::new();
    let again = tests.iter().filter(|t| !seen.insert(&t.id));
    let failure = |t: &Test| {
        let error = VectorError::Key("id".to_owned(), format!("`{}` is the name of several tests", t.id));
        let work = move |_: &Device| (Err(Failure::Vector(error)), 0.0);
        let id = format!("{} again", t.id);
        Test { file: t.file.clone(), ..Test::new(id, t.tier, &t.kind, &t.class_name, work) }
    };
    again.map(failure).collect()
}

fn unreadable(path: &Path, place: String, error: VectorError) -> Test {
    let work = move |_: &Device| (Err(Failure::Vector(error)), 0.0);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Test { file: place.clone(), ..Test::new(place, Tier::Files, "file", &name, work) }
}

/// Stands for an expected failure of a test that does not exist.
pub(super) fn unknown(id: &str) -> Test {
    let why = format!("conformance.toml expects `{id}` to fail, but there is no such test: remove the entry");
    let work = move |_: &Device| (Err(Failure::Mismatch(why)), 0.0);
    Test::new(format!("conformance.toml/{id}"), Tier::Core, "expected failure", "", work)
}
