//! Whole models in `.keras` archives.

use std::io::{Seek, Write};

use keras_spec::{Result, ResultExt};
use serde_json::Value;
use web_time::SystemTime;

use super::container::{self, Archive, ArchiveWriter, CONFIG, METADATA, WEIGHTS};
use super::legacy::{Report, Source, Version, upgrade_compile};
use super::tree::{self, Tree};
use super::{KERAS_VERSION, LoadOptions, architecture, assign, h5, older, optimizer_state};
use crate::models::Model;

/// A model, ready to be written: what can fail because of the model has happened.
pub(super) struct Packed {
    config: Value,
    weights: h5::Writer,
    version: String,
}

impl Packed {
    /// For `version` of Keras 3, or for the one that is written otherwise.
    pub(super) fn new(model: &Model, version: Option<Version>) -> Result<Self> {
        let mut weights = h5::Writer::new();
        tree::write(model, version, &mut weights)?;
        let mut config = architecture::to_value(model)?;
        if let Some(version) = version {
            older::for_keras_3(&mut config, version)?;
        }
        let version = version.map_or_else(|| KERAS_VERSION.to_owned(), |v| v.to_string());
        Ok(Packed { config, weights, version })
    }

    pub(super) fn write<W: Write + Seek>(self, name: &str, out: W) -> super::error::Result<W> {
        let mut archive = ArchiveWriter::new(name, out);
        archive.json(METADATA, &container::metadata(&self.version, SystemTime::now()))?;
        archive.json(CONFIG, &self.config)?;
        archive.h5(WEIGHTS, self.weights)?;
        archive.finish()
    }
}

/// Loads the model in an archive.
///
/// # Errors
/// The archive is damaged, a class is not registered, or weights do not fit.
pub(super) fn load(
    file: &str,
    mut archive: Archive,
    options: &LoadOptions,
    report: &mut Report,
) -> Result<Model> {
    let config = archive.json(CONFIG)?;
    let metadata = archive.json(METADATA)?;
    let version = metadata.get("keras_version").and_then(Value::as_str);
    let origin = options.origin(version, None);
    report.origin = origin.clone();
    let place = || format!("{file}: {CONFIG}");
    let name = format!("{file}: {WEIGHTS}");
    let root = archive.h5(WEIGHTS)?.root();
    let count = root.count_elements()?;
    let compiled = config.get("compile_config").filter(|c| !c.is_null()).cloned();
    let mut model = architecture::from_file(config, &origin, count, options, report).at(place)?;
    tree::load_assets(model.as_layer(), &mut archive)?;
    let groups = model.source.as_ref().map(Source::groups).unwrap_or_default();
    let weights = Tree { file: &name, roots: vec![root], groups };
    assign(weights.weights(model.as_layer(), options, report)?)?;
    if options.compile {
        let config = match (compiled, &model.source) {
            (Some(config), Some(source)) => upgrade_compile(&config, source, report).at(place)?,
            (config, _) => config,
        };
        architecture::compile(&mut model, config.as_ref()).at(place)?;
        if let (Some(compiled), Some(state)) = (&model.compiled, weights.optimizer()?) {
            compiled.optimizer.build(&model.as_layer().trainable_weights())?;
            optimizer_state::restore(&*compiled.optimizer, state, report)?;
        }
    }
    Ok(model)
}
