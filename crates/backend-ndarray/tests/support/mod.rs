//! Finite differences against the tape.

use keras_spec::{DType, GradientOptions, HostTensor, Result, Tensor, gradients_with};

use backend_ndarray as _;

/// A function of tensors that is differentiated.
pub(crate) type Function<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// Numbers in `low..high` that look random, the same for the same `seed`.
pub(crate) fn numbers(seed: u64, count: usize, low: f64, high: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| low + (high - low) * next()).collect()
}

/// A float64 tensor of such numbers.
pub(crate) fn random(seed: u64, shape: &[usize], low: f64, high: f64) -> Tensor {
    Tensor::new(shape, numbers(seed, shape.iter().product(), low, high)).expect("sizes agree")
}

/// What is differentiated: a weighted sum of all floating-point results.
fn weighted(results: &[Tensor]) -> Vec<(usize, Tensor)> {
    let floats = results.iter().enumerate().filter(|(_, t)| t.dtype().is_float());
    floats
        .map(|(i, t)| (i, random(900 + i as u64, t.shape(), 0.5, 1.5).cast(t.dtype()).expect("a cast")))
        .collect()
}

fn value(f: &Function<'_>, operands: &[Tensor]) -> Result<f64> {
    let results = f(operands)?;
    let mut sum = 0.0;
    for (i, weights) in weighted(&results) {
        let (y, w) = (results[i].to_host()?.to_f64_vec(), weights.to_host()?.to_f64_vec());
        sum += y.iter().zip(&w).map(|(y, w)| y * w).sum::<f64>();
    }
    Ok(sum)
}

/// The gradients of the weighted sum; zeros where there is none.
pub(crate) fn tape(f: &Function<'_>, operands: &[Tensor], create_graph: bool) -> Result<Vec<Tensor>> {
    let watch = |t: &Tensor| if t.is_watched() { t.clone() } else { t.watch() };
    let operands: Vec<Tensor> = operands.iter().map(watch).collect();
    let results = f(&operands)?;
    let (targets, seeds): (Vec<_>, Vec<_>) =
        weighted(&results).into_iter().map(|(i, w)| (&results[i], w)).unzip();
    let sources: Vec<&Tensor> = operands.iter().collect();
    let options = GradientOptions { cotangents: Some(seeds), create_graph };
    let found = gradients_with(&targets, &sources, &options)?;
    let zeros = |t: &Tensor| Tensor::full(t.shape(), t.dtype(), 0.0, t.device());
    found.into_iter().zip(&operands).map(|(g, t)| g.map_or_else(|| zeros(t), Ok)).collect()
}

/// Compares the tape's gradients of `f` with central differences, in float64.
fn compare(what: &str, f: &Function<'_>, operands: &[Tensor]) {
    let found = tape(f, operands, false).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (k, (x, g)) in operands.iter().zip(&found).enumerate() {
        if x.dtype() != DType::F64 {
            continue;
        }
        assert_eq!(x.shape(), g.shape(), "{what}: shape of gradient {k}");
        let (x, g) = (x.to_vec::<f64>().expect("float64"), g.to_vec::<f64>().expect("float64"));
        for i in 0..x.len() {
            let step = 1e-5 * x[i].abs().max(0.1);
            let at = |value: f64| {
                let mut moved = x.clone();
                moved[i] = value;
                let mut operands = operands.to_vec();
                operands[k] = Tensor::new(operands[k].shape(), moved)?;
                self::value(f, &operands)
            };
            let difference = |step: f64| Ok((at(x[i] + step)? - at(x[i] - step)?) / (2.0 * step));
            // Two steps cancel the error of second order.
            let (coarse, fine) = (difference(2.0 * step), difference(step));
            let numeric = fine.and_then(|fine: f64| coarse.map(|coarse: f64| (4.0 * fine - coarse) / 3.0));
            let numeric = numeric.unwrap_or_else(|e: keras_spec::Error| panic!("{what}: {e}"));
            let tolerance = 2e-7 * numeric.abs().max(1.0) * 10.0;
            assert!(
                (g[i] - numeric).abs() <= tolerance,
                "{what}: operand {k}, element {i}: tape {}, finite differences {numeric}",
                g[i]
            );
        }
    }
}

/// First derivatives of `f` against finite differences of `f`, second derivatives against those of the first.
pub(crate) fn check(what: &str, f: &Function<'_>, operands: &[Tensor]) {
    compare(what, f, operands);
    let first = |operands: &[Tensor]| tape(f, operands, true);
    compare(&format!("second derivative of {what}"), &first, operands);
}

/// Asserts that two tensors agree to within `tolerance` of the larger of 1 and the value.
pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((found.shape(), found.dtype()), (expected.shape(), expected.dtype()), "{what}");
    let host = |t: &Tensor| -> HostTensor { t.to_host().expect("readable") };
    let (found, expected) = (host(found).to_f64_vec(), host(expected).to_f64_vec());
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let same = (f - e).abs() <= tolerance * e.abs().max(1.0) || f == e || (f.is_nan() && e.is_nan());
        assert!(same, "{what}: element {i} is {f}, expected {e}");
    }
}
