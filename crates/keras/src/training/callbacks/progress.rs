//! The progress bar (`keras.callbacks.ProgbarLogger`, Keras 3.15.1).

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keras_spec::{Callback, HostTensor, Logs, Model, Params, Result};
use web_time::Instant;

/// Shows how far an epoch is and what the logs say: a bar with `verbose` 1, a line per epoch with 2. Where standard output
/// is no terminal, only the finished line of each epoch is printed.
#[derive(Debug)]
pub struct ProgbarLogger {
    params: Params,
    in_fit: bool,
    bar: ProgressBar,
    started: Instant,
    seen: u64,
}

impl Default for ProgbarLogger {
    fn default() -> Self {
        ProgbarLogger {
            params: Params::default(),
            in_fit: false,
            bar: ProgressBar::hidden(),
            started: Instant::now(),
            seen: 0,
        }
    }
}

impl ProgbarLogger {
    fn begin(&mut self) {
        self.started = Instant::now();
        self.seen = 0;
        self.bar = match self.params.verbose == 1 && std::io::stdout().is_terminal() {
            true => ProgressBar::with_draw_target(
                self.params.steps.map(|n| n as u64),
                ProgressDrawTarget::stdout_with_hz(20),
            ),
            false => ProgressBar::hidden(),
        };
        let template = match self.params.steps {
            Some(_) => "{pos}/{len} {bar:20.green/white} {elapsed} {msg}",
            None => "{pos}/Unknown {elapsed} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("━━━"));
        }
    }

    fn step(&mut self, batch: usize, logs: &Logs) {
        self.seen = batch as u64 + 1;
        self.bar.set_position(self.seen);
        self.bar.set_message(describe(logs, self.params.verbose));
    }

    fn finish(&mut self, logs: &Logs) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let steps = self.params.steps.map_or(self.seen, |n| n as u64);
        let per_step = 1e3 * seconds / steps.max(1) as f64;
        let bar = if self.params.verbose == 1 { format!(" {}", "━".repeat(20)) } else { String::new() };
        println!(
            "{}/{steps}{bar} {seconds:.0}s {per_step:.0}ms/step{}",
            self.seen,
            describe(logs, self.params.verbose)
        );
    }
}

/// ` - accuracy: 0.9712 - loss: 0.1034`; of an array the mean. Without a bar Keras writes negative numbers as small ones.
fn describe(logs: &Logs, verbose: u8) -> String {
    let mean = |array: &HostTensor| {
        let elements = array.to_f64_vec();
        elements.iter().sum::<f64>() / elements.len() as f64
    };
    let one = |name: &str| {
        let value = logs.array(name).map(mean).or(logs.get(name)).unwrap_or(f64::NAN);
        let size = if verbose == 2 { value } else { value.abs() };
        if size > 1e-3 { format!(" - {name}: {value:.4}") } else { format!(" - {name}: {}", exponent(value)) }
    };
    logs.names().map(one).collect()
}

/// `4.2555e-03`
fn exponent(value: f64) -> String {
    let text = format!("{value:.4e}");
    match text.split_once('e').and_then(|(digits, e)| Some((digits, e.parse::<i32>().ok()?))) {
        Some((digits, e)) => format!("{digits}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()),
        None => text,
    }
}

impl Callback for ProgbarLogger {
    fn set_params(&mut self, params: &Params) {
        self.params = params.clone();
    }

    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        self.in_fit = true;
        Ok(())
    }

    fn on_epoch_begin(&mut self, epoch: usize, _model: &mut dyn Model) -> Result<()> {
        if self.params.epochs > 1 {
            println!("Epoch {}/{}", epoch + 1, self.params.epochs);
        }
        self.begin();
        Ok(())
    }

    fn on_train_batch_end(&mut self, batch: usize, _model: &mut dyn Model, logs: &Logs) -> Result<()> {
        self.step(batch, logs);
        Ok(())
    }

    fn on_epoch_end(&mut self, _epoch: usize, _model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        self.finish(logs);
        Ok(())
    }

    fn on_test_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        if !self.in_fit {
            self.begin();
        }
        Ok(())
    }

    fn on_test_batch_end(&mut self, batch: usize, _model: &mut dyn Model, logs: &Logs) -> Result<()> {
        if !self.in_fit {
            self.step(batch, logs);
        }
        Ok(())
    }

    fn on_test_end(&mut self, _model: &mut dyn Model, logs: &Logs) -> Result<()> {
        if !self.in_fit {
            self.finish(logs);
        }
        Ok(())
    }

    fn on_predict_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        self.begin();
        Ok(())
    }

    fn on_predict_batch_end(&mut self, batch: usize, _model: &mut dyn Model) -> Result<()> {
        self.step(batch, &Logs::new());
        Ok(())
    }

    fn on_predict_end(&mut self, _model: &mut dyn Model) -> Result<()> {
        self.finish(&Logs::new());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_that_of_keras() {
        let mut logs = Logs::from([("loss", 1.144_3), ("val_loss", 0.0), ("accuracy", 4.0)]);
        logs.insert_array("r2", HostTensor::new([3], vec![-0.05_f32, 0.003_5, -0.09]).unwrap());
        // As Keras 3.15.1 prints these.
        let bar = " - accuracy: 4.0000 - loss: 1.1443 - r2: -0.0455 - val_loss: 0.0000e+00";
        assert_eq!(describe(&logs, 1), bar);
        let line = " - accuracy: 4.0000 - loss: 1.1443 - r2: -4.5500e-02 - val_loss: 0.0000e+00";
        assert_eq!(describe(&logs, 2), line);
    }
}
