//! Loading and saving a model of 100 MB, against reading and writing as many bytes.

use std::fs;

use benches::compare;
use criterion::Criterion;
use keras::layers::Dense;
use keras::{Input, Sequential};

pub(crate) fn run(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Sequential::new().add(Input::new([2048]));
    for _ in 0..6 {
        model = model.add(Dense::new(2048));
    }
    let model = model.build().unwrap();
    for extension in ["keras", "h5"] {
        let path = folder.path().join("model").with_extension(extension);
        let (copy, other) =
            (path.with_file_name("copy"), path.with_file_name("saved").with_extension(extension));
        model.save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let megabytes = bytes.len() / 1_000_000;
        compare(
            c,
            ["files", &format!("load .{extension} of {megabytes} MB"), "fs::read"],
            || keras::load_model(&path).unwrap(),
            || fs::read(&path).unwrap(),
        );
        // Both wait until the disk has it.
        let write = || {
            fs::write(&copy, &bytes).unwrap();
            fs::File::open(&copy).unwrap().sync_all().unwrap();
        };
        let case = format!("save .{extension} of {megabytes} MB");
        compare(c, ["files", &case, "fs::write"], || model.save(&other).unwrap(), write);
    }
}
