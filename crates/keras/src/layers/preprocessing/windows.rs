//! What a piece of a signal is multiplied with before its frequencies are found: `scipy.signal.get_window`.

use std::f64::consts::PI;

use keras_spec::{Error, Result};

/// What each place of a piece is multiplied with.
pub(super) type Window = Box<dyn Fn(usize) -> f64>;

/// `length` weights by SciPy's name of the window; `periodic` is as if the next piece followed.
pub(super) fn window(name: &str, length: usize, periodic: bool) -> Result<Window> {
    let cosines = |weights: &'static [f64]| -> Box<dyn Fn(f64) -> f64> {
        Box::new(|at: f64| {
            let terms = weights.iter().enumerate();
            terms.map(|(i, w)| if i % 2 == 0 { *w } else { -*w } * (2.0 * PI * i as f64 * at).cos()).sum()
        })
    };
    let of: Box<dyn Fn(f64) -> f64> = match name {
        "hann" | "hanning" | "han" => cosines(&[0.5, 0.5]),
        "hamming" | "hamm" | "ham" => cosines(&[0.54, 0.46]),
        "blackman" | "black" | "blk" => cosines(&[0.42, 0.5, 0.08]),
        "nuttall" | "nutl" | "nut" => cosines(&[0.363_581_9, 0.489_177_5, 0.136_599_5, 0.010_641_1]),
        "blackmanharris" | "blackharr" | "bkh" => cosines(&[0.358_75, 0.488_29, 0.141_28, 0.011_68]),
        "boxcar" | "box" | "ones" | "rect" | "rectangular" => Box::new(|_| 1.0),
        "bartlett" | "bart" | "brt" => Box::new(|at| 1.0 - (2.0 * at - 1.0).abs()),
        _ => {
            let expected = "hann, hamming, blackman, nuttall, blackmanharris, bartlett or boxcar";
            return Err(Error::argument("window", expected, name));
        }
    };
    if length == 1 {
        return Ok(Box::new(|_| 1.0));
    }
    let last = if periodic { length } else { length - 1 } as f64;
    Ok(Box::new(move |i| of(i as f64 / last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy's numbers.
    #[test]
    fn scipy_s_windows() {
        let rounded = |name, periodic| -> Vec<f64> {
            let weight = window(name, 4, periodic).unwrap();
            (0..4).map(|i| (weight(i) * 1e4).round() / 1e4).collect()
        };
        assert_eq!(rounded("hann", true), [0.0, 0.5, 1.0, 0.5]);
        assert_eq!(rounded("hann", false), [0.0, 0.75, 0.75, 0.0]);
        assert_eq!(rounded("hamming", true), [0.08, 0.54, 1.0, 0.54]);
        assert_eq!(rounded("blackman", true), [0.0, 0.34, 1.0, 0.34]);
        assert_eq!(rounded("bartlett", true), [0.0, 0.5, 1.0, 0.5]);
        assert_eq!(rounded("boxcar", true), [1.0; 4]);
        assert!(window("kaiser", 4, true).is_err());
    }
}
