//! Where to divide numbers so that about equally many lie in each range: quantiles from a summary, as Keras finds them.

/// Numbers in order, with how many each stands for.
struct Summary {
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// The boundaries of `num_bins` ranges of the numbers; `epsilon` is the part of them that one number of the summary stands
/// for.
pub(super) fn boundaries(mut numbers: Vec<f32>, epsilon: f64, num_bins: usize) -> Vec<f32> {
    numbers.sort_by(f32::total_cmp);
    let step = (numbers.len() as f64 / (1.0 / epsilon)).max(1.0);
    let values: Vec<f32> = numbers.into_iter().skip((step - 1.0) as usize).step_by(step as usize).collect();
    let weights = vec![step as f32; values.len()];
    let summary = compress(Summary { values, weights }, epsilon);
    let mut boundaries = compress(summary, 1.0 / num_bins as f64).values;
    boundaries.pop();
    boundaries
}

/// A shorter summary, of numbers that stand for the part `epsilon` each.
fn compress(summary: Summary, epsilon: f64) -> Summary {
    if (summary.values.len() as f64) * epsilon < 1.0 {
        return summary;
    }
    let mut total = 0f32;
    let sums: Vec<f32> = summary
        .weights
        .iter()
        .map(|w| {
            total += w;
            total
        })
        .collect();
    let parts: Vec<f64> = sums.iter().map(|s| f64::from(s / total)).collect();
    let places = (0..(1.0 / epsilon).ceil() as usize).map(|i| epsilon + i as f64 * epsilon);
    let (mut values, mut weights, mut before) = (Vec::new(), Vec::new(), 0.0);
    for place in places {
        values.push(interpolate(place, &parts, &summary.values) as f32);
        let sum = interpolate(place, &parts, &sums);
        weights.push((sum - before) as f32);
        before = sum;
    }
    Summary { values, weights }
}

/// The line through the points at `x`, constant beyond the first and the last.
fn interpolate(x: f64, xs: &[f64], ys: &[f32]) -> f64 {
    let after = xs.partition_point(|&other| other <= x);
    let y = |i: usize| f64::from(ys[i]);
    match after {
        0 => y(0),
        n if n == xs.len() => y(n - 1),
        n => {
            let slope = (y(n) - y(n - 1)) / (xs[n] - xs[n - 1]);
            slope * (x - xs[n - 1]) + y(n - 1)
        }
    }
}
