//! Callbacks that write files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use keras_spec::{Callback, DType, Error, HostTensor, Logs, Model, Result};

use super::monitor::{Mode, Monitor};
use crate::class::builders;
use crate::saving::json::float_repr;

/// Saves the model while it trains (`keras.callbacks.ModelCheckpoint`, Keras 3.15.1).
///
/// The path may hold `{epoch}`, `{batch}` and names of logs, with Python's widths and precisions:
/// `"model-{epoch:02d}-{val_loss:.3f}.keras"`.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: String,
    monitor: Monitor,
    verbose: u8,
    save_best_only: bool,
    save_weights_only: bool,
    save_freq: Option<usize>,
    epoch: usize,
    batches: usize,
}

impl ModelCheckpoint {
    /// Saves to `path` after every epoch.
    pub fn new(path: impl Into<String>) -> Self {
        ModelCheckpoint {
            path: path.into(),
            monitor: Monitor::new("val_loss"),
            verbose: 0,
            save_best_only: false,
            save_weights_only: false,
            save_freq: None,
            epoch: 0,
            batches: 0,
        }
    }

    /// The number that says which model is the best; `val_loss` unless given.
    #[must_use]
    pub fn monitor(mut self, monitor: impl Into<String>) -> Self {
        self.monitor.name = monitor.into();
        self
    }

    builders! {
        /// Says each save on standard output.
        verbose = u8;
        /// Whether only a model that is better than all before is saved.
        save_best_only = bool;
        /// Whether only weights are saved; the path must end in `.weights.h5`.
        save_weights_only = bool;
        /// Which way the number should go.
        mode in monitor = Mode;
        /// Saves every so many batches instead of every epoch.
        some save_freq = usize;
    }

    /// What the number must be better than to begin with.
    #[must_use]
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.monitor.best = Some(value);
        self
    }

    fn save(&mut self, batch: Option<usize>, model: &dyn Model, logs: &Logs) -> Result<()> {
        let path = PathBuf::from(format_path(&self.path, self.epoch, batch, logs)?);
        let watched = match self.save_best_only {
            true if logs.array(&self.monitor.name).is_some() => {
                tracing::warn!(
                    "`{}` is an array, none of which is the best: every model is saved",
                    self.monitor.name
                );
                None
            }
            true => self.monitor.number(logs)?,
            false => None,
        };
        if let Some(current) = watched {
            let before = self.monitor.best;
            if !self.monitor.update(current) {
                return Ok(());
            }
            if self.verbose > 0 {
                let before = before.map_or("None".to_owned(), |b| format!("{b:.5}"));
                let (epoch, name) = (self.epoch + 1, &self.monitor.name);
                println!("\nEpoch {epoch}: {name} improved from {before} to {current:.5}, saving model");
            }
        }
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        }
        match self.save_weights_only {
            true => model.save_weights(&path)?,
            false => model.save(&path)?,
        }
        if self.verbose > 0 {
            println!("\nEpoch {}: finished saving model to {}", self.epoch + 1, path.display());
        }
        Ok(())
    }
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::other(format!("{}: {e}", path.display()))
}

/// Python's `str.format` with the fields that Keras fills in: `{name}`, `{name:02d}`, `{name:.3f}`.
fn format_path(pattern: &str, epoch: usize, batch: Option<usize>, logs: &Logs) -> Result<String> {
    let wrong =
        |what: &str| Error::argument("filepath", "fields such as {epoch:02d} and {val_loss:.2f}", what);
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (field, behind) = after.split_once('}').ok_or_else(|| wrong(pattern))?;
        let (name, form) = field.split_once(':').unwrap_or((field, ""));
        let value = match name {
            "epoch" => (epoch + 1) as f64,
            "batch" => batch.ok_or_else(|| wrong("{batch} without save_freq"))? as f64 + 1.0,
            other if logs.array(other).is_some() => {
                return Err(wrong(&format!("{{{other}}}, which is an array")));
            }
            other => logs.get(other).ok_or_else(|| wrong(&format!("{{{other}}}, which no log has")))?,
        };
        out.push_str(before);
        if let Some(precision) = form.strip_prefix('.').and_then(|f| f.strip_suffix('f')) {
            let digits: usize = precision.parse().map_err(|_| wrong(field))?;
            out.push_str(&format!("{value:.digits$}"));
        } else if let Some(width) = form.strip_suffix('d') {
            let zeros = width.starts_with('0');
            let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| wrong(field))? };
            let number = format!("{value:.0}");
            out.push_str(&if zeros { format!("{number:0>width$}") } else { format!("{number:>width$}") });
        } else if form.is_empty() {
            out.push_str(&value.to_string());
        } else {
            return Err(wrong(field));
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        let fits = match self.save_weights_only {
            true => self.path.ends_with(".weights.h5"),
            false => self.path.ends_with(".keras") || self.path.ends_with(".h5"),
        };
        if !fits {
            let expected = if self.save_weights_only {
                "a path ending in .weights.h5"
            } else {
                "a path ending in .keras"
            };
            return Err(Error::argument("filepath", expected, &self.path));
        }
        match self.save_best_only {
            true => self.monitor.resolve(),
            false => Ok(()),
        }
    }

    fn on_epoch_begin(&mut self, epoch: usize, _model: &mut dyn Model) -> Result<()> {
        self.epoch = epoch;
        Ok(())
    }

    fn on_train_batch_end(&mut self, batch: usize, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        self.batches += 1;
        match self.save_freq {
            Some(n) if self.batches >= n => {
                self.batches = 0;
                self.save(Some(batch), model, logs)
            }
            _ => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, _epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        if self.save_freq.is_none() { self.save(None, model, logs) } else { Ok(()) }
    }
}

/// Writes the logs of each epoch as a line of a table (`keras.callbacks.CSVLogger`, Keras 3.15.1).
#[derive(Debug)]
pub struct CSVLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    keys: Vec<String>,
    file: Option<File>,
}

impl CSVLogger {
    /// A table with commas that replaces an older file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CSVLogger { path: path.into(), separator: ',', append: false, keys: Vec::new(), file: None }
    }

    builders! {
        /// What stands between two fields.
        separator = char;
        /// Whether lines are added to an older file.
        append = bool;
    }

    fn line(&mut self, fields: &[String]) -> Result<()> {
        let line = fields.join(&self.separator.to_string());
        match &mut self.file {
            // Python's csv module ends lines so.
            Some(f) => write!(f, "{line}\r\n").and_then(|()| f.flush()).map_err(|e| failed(&self.path, &e)),
            None => Ok(()),
        }
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(self.append).truncate(!self.append);
        self.file = Some(options.open(&self.path).map_err(|e| failed(&self.path, &e))?);
        self.keys.clear();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, _model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        if self.keys.is_empty() {
            self.keys = logs.names().map(str::to_owned).collect();
            if !self.keys.iter().any(|k| k.starts_with("val_")) {
                let validation: Vec<String> = self.keys.iter().map(|k| format!("val_{k}")).collect();
                self.keys.extend(validation);
            }
            let length = self.file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
            if length == 0 {
                let header: Vec<String> =
                    std::iter::once("epoch".to_owned()).chain(self.keys.clone()).collect();
                self.line(&header)?;
            }
        }
        let value = |k: &String| match logs.array(k) {
            Some(array) => field_of(array),
            None => logs.get(k).map_or("NA".to_owned(), number_field),
        };
        let fields: Vec<String> =
            std::iter::once(epoch.to_string()).chain(self.keys.iter().map(value)).collect();
        self.line(&fields)
    }

    fn on_train_end(&mut self, _model: &mut dyn Model, _logs: &Logs) -> Result<()> {
        self.file = None;
        Ok(())
    }
}

/// A number as Python writes it: `1.0`, `nan`.
fn number_field(x: f64) -> String {
    if x.is_finite() { float_repr(x) } else { x.to_string().to_lowercase() }
}

/// An array as a field of a table: a list in quotes, and those quoted in turn, as Keras writes it.
fn field_of(array: &HostTensor) -> String {
    // As many digits as numbers of its own type need.
    let shortest = |x: f64| match array.dtype() {
        DType::F64 => x,
        _ => (x as f32).to_string().parse().unwrap_or(x),
    };
    let elements: Vec<String> = array.to_f64_vec().into_iter().map(|x| number_field(shortest(x))).collect();
    format!("\"\"\"[{}]\"\"\"", elements.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_formatted_as_python_does() {
        let logs: Logs = [("val_loss", 0.123_45)].into();
        let path = format_path("m-{epoch:02d}-{val_loss:.3f}-{epoch}.keras", 4, None, &logs);
        assert_eq!(path, Ok("m-05-0.123-5.keras".to_owned()));
        assert!(format_path("{nonesuch}.keras", 0, None, &logs).is_err());
        assert!(format_path("{epoch", 0, None, &logs).is_err());
        assert!(format_path("{batch}.keras", 0, None, &logs).is_err());
    }
}
