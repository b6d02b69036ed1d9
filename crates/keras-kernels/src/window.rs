//! Which source positions each position of an output sees through a sliding window: the geometry that convolution
//! and pooling share, forwards and backwards.
//!
//! Output `o` sees, through position `k` of the window, the source at `(o·stride + k·rhs_dilation − low) / lhs_dilation`
//! if that divides evenly and lies inside. Which `k` divide evenly repeats with a period of
//! `lhs_dilation / gcd(stride, lhs_dilation)` outputs; each remainder is a *phase* with a list of window positions
//! (*taps*) of its own, at constant distances from a base that advances with the output. No multiplication by an
//! inserted zero ever happens, and a backward pass is the forward pass of the transposed geometry.

use std::ops::Range;

use crate::{Error, Result};

/// Largest number of spatial axes.
pub(crate) const AXES: usize = 3;

/// Sizes and factors are limited so that positions never overflow.
const LIMIT: usize = 1 << 30;

/// One spatial axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) source: usize,
    pub(crate) window: usize,
    pub(crate) output: usize,
    stride: usize,
    low: isize,
    lhs_dilation: usize,
    rhs_dilation: usize,
}

impl Axis {
    /// An axis of one position, to fill up to [`AXES`].
    pub(crate) const TRIVIAL: Self =
        Self { source: 1, window: 1, output: 1, stride: 1, low: 0, lhs_dilation: 1, rhs_dilation: 1 };

    /// The size of the output follows from the rest, as in XLA.
    pub(crate) fn new(
        source: usize,
        window: usize,
        stride: usize,
        (low, high): (isize, isize),
        lhs_dilation: usize,
        rhs_dilation: usize,
    ) -> Result<Self> {
        for (name, value, least) in [
            ("input size", source, 0),
            ("window", window, 1),
            ("strides", stride, 1),
            ("padding", low.unsigned_abs(), 0),
            ("padding", high.unsigned_abs(), 0),
            ("lhs_dilation", lhs_dilation, 1),
            ("rhs_dilation", rhs_dilation, 1),
        ] {
            if !(least..=LIMIT).contains(&value) {
                return Err(Error::parameter(name, format!("expected {least} to {LIMIT}, found {value}")));
            }
        }
        let dilated = |n: usize, by: usize| if n == 0 { 0 } else { (n as i64 - 1) * by as i64 + 1 };
        let padded = dilated(source, lhs_dilation) + low as i64 + high as i64;
        let reach = dilated(window, rhs_dilation);
        let output = if padded < reach { 0 } else { (padded - reach) / stride as i64 + 1 };
        let output = usize::try_from(output)
            .ok()
            .filter(|&n| n <= LIMIT)
            .ok_or_else(|| Error::shape(format!("output of {output} positions is too large")))?;
        Ok(Self { source, window, output, stride, low, lhs_dilation, rhs_dilation })
    }

    /// The axis on which every source position sees the outputs that have seen it, with the window reversed.
    fn transposed(self) -> Self {
        Self {
            source: self.output,
            window: self.window,
            output: self.source,
            stride: self.lhs_dilation,
            low: ((self.window - 1) * self.rhs_dilation) as isize - self.low,
            lhs_dilation: self.stride,
            rhs_dilation: self.rhs_dilation,
        }
    }

    /// Number of phases, at most as many as outputs.
    fn period(self) -> usize {
        let (mut a, mut b) = (self.stride, self.lhs_dilation);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        self.lhs_dilation / a
    }

    /// The taps of a phase: window position and distance of the source from the base. Taps that only ever see padding
    /// are left out.
    fn taps(self, phase: usize) -> Vec<(usize, isize)> {
        let dilation = self.lhs_dilation as i64;
        let last_base = (self.output.saturating_sub(phase + 1) / self.period() * self.step()) as i64;
        (0..self.window)
            .map(|k| (k, (phase * self.stride + k * self.rhs_dilation) as i64 - self.low as i64))
            .filter(|(_, at)| at.rem_euclid(dilation) == 0)
            .map(|(k, at)| (k, at.div_euclid(dilation)))
            .filter(|(_, at)| *at < self.source as i64 && *at + last_base >= 0)
            .map(|(k, at)| (k, at as isize))
            .collect()
    }

    /// How far the base advances from one output of a phase to the next.
    fn step(self) -> usize {
        self.period() * self.stride / self.lhs_dilation
    }
}

/// Taps that follow each other along the last axis, at sources that follow each other.
struct Run {
    offset: [isize; AXES],
    first_tap: usize,
    len: usize,
}

/// The outputs whose position has the same remainders.
pub(crate) struct Phase {
    /// Flat position in the window of each tap, in ascending order.
    pub(crate) taps: Vec<usize>,
    /// How many taps the phases before this one have.
    pub(crate) taps_before: usize,
    runs: Vec<Run>,
    /// The first and the last offset of a tap along the last axis.
    reach: (isize, isize),
}

/// An output position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pixel {
    /// Number of its phase.
    pub(crate) phase: usize,
    image: usize,
    base: [isize; AXES],
}

/// Taps `first_tap..first_tap + len` of a pixel's phase see the sources `source..source + len` (flat positions,
/// counted through all images).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) first_tap: usize,
    pub(crate) source: usize,
    pub(crate) len: usize,
}

/// The geometry of all axes, made for walking over the outputs.
pub(crate) struct Plan {
    axes: [Axis; AXES],
    /// For each output position on each axis, its part of the phase number and its base.
    positions: [Vec<(usize, isize)>; AXES],
    pub(crate) phases: Vec<Phase>,
}

impl Plan {
    pub(crate) fn new(axes: [Axis; AXES]) -> Self {
        let periods = axes.map(|axis| axis.period().min(axis.output));
        let mut phase_stride = [periods[1] * periods[2], periods[2], 1].into_iter();
        let positions = axes.map(|axis| {
            let (period, stride) = (axis.period(), phase_stride.next().unwrap_or(1));
            let step = axis.step();
            (0..axis.output).map(|o| (o % period * stride, (o / period * step) as isize)).collect()
        });
        let window = axes.map(|axis| axis.window);
        let mut phases = Vec::with_capacity(periods.iter().product());
        let mut taps_before = 0;
        for p0 in 0..periods[0] {
            for p1 in 0..periods[1] {
                for p2 in 0..periods[2] {
                    let phase = Phase::new(
                        [axes[0].taps(p0), axes[1].taps(p1), axes[2].taps(p2)],
                        window,
                        taps_before,
                    );
                    taps_before += phase.taps.len();
                    phases.push(phase);
                }
            }
        }
        Self { axes, positions, phases }
    }

    /// The plan of the backward pass: outputs and sources change places, and window position `k` becomes
    /// `window_len() - 1 - k`.
    pub(crate) fn transposed(axes: [Axis; AXES]) -> Self {
        Self::new(axes.map(Axis::transposed))
    }

    /// Number of output positions of one image.
    pub(crate) fn outputs(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }

    /// Number of positions in the window.
    pub(crate) fn window_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.window).product()
    }

    /// Whether every output sees the source at its own position and no other.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.axes
            .iter()
            .all(|a| a.window == 1 && a.stride == a.lhs_dilation && a.low == 0 && a.output == a.source)
    }

    /// The output positions of a range, counted through all images.
    pub(crate) fn pixels(&self, range: Range<usize>) -> impl Iterator<Item = Pixel> {
        let [_, n1, n2] = self.axes.map(|axis| axis.output);
        let outputs = self.outputs();
        let (mut image, within) = (range.start / outputs.max(1), range.start % outputs.max(1));
        let (mut o0, mut o1, mut o2) =
            (within / (n1 * n2).max(1), within / n2.max(1) % n1.max(1), within % n2.max(1));
        range.map(move |_| {
            let at = [self.positions[0][o0], self.positions[1][o1], self.positions[2][o2]];
            let pixel =
                Pixel { phase: at[0].0 + at[1].0 + at[2].0, image, base: [at[0].1, at[1].1, at[2].1] };
            o2 += 1;
            if o2 == n2 {
                (o1, o2) = (o1 + 1, 0);
            }
            if o1 == n1 {
                (o0, o1) = (o0 + 1, 0);
            }
            if o0 == self.positions[0].len() {
                (image, o0) = (image + 1, 0);
            }
            pixel
        })
    }

    /// How far a pixel has moved on from an earlier one, if it sees the same as that but for this distance.
    #[inline(always)]
    pub(crate) fn moved(&self, pixel: Pixel, from: Pixel) -> Option<usize> {
        let inside = |at: isize| {
            let (first, last) = self.phases[pixel.phase].reach;
            at + first >= 0 && at + last < self.axes[2].source as isize
        };
        let row = |pixel: Pixel| (pixel.phase, pixel.image, pixel.base[0], pixel.base[1]);
        if row(pixel) != row(from) || !inside(from.base[2]) || !inside(pixel.base[2]) {
            return None;
        }
        usize::try_from(pixel.base[2] - from.base[2]).ok()
    }

    /// What a pixel sees, in the order of its taps; what lies outside the source is left out.
    #[inline(always)]
    pub(crate) fn sights(&self, pixel: Pixel) -> impl Iterator<Item = Sight> {
        let [n0, n1, n2] = self.axes.map(|axis| axis.source);
        self.phases[pixel.phase].runs.iter().filter_map(move |run| {
            let (i0, i1) = (pixel.base[0] + run.offset[0], pixel.base[1] + run.offset[1]);
            // Negative positions wrap around to large ones.
            if i0 as usize >= n0 || i1 as usize >= n1 {
                return None;
            }
            let start = pixel.base[2] + run.offset[2];
            let skipped = (-start).max(0) as usize;
            let end = (start + run.len as isize).min(n2 as isize);
            let from = start.max(0);
            if end <= from {
                return None;
            }
            let row = (pixel.image * n0 + i0 as usize) * n1 + i1 as usize;
            Some(Sight {
                first_tap: run.first_tap + skipped,
                source: row * n2 + from as usize,
                len: (end - from) as usize,
            })
        })
    }
}

impl Phase {
    fn new(
        [taps0, taps1, taps2]: [Vec<(usize, isize)>; AXES],
        window: [usize; AXES],
        taps_before: usize,
    ) -> Self {
        let consecutive = taps2.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1);
        let run_len = if consecutive { taps2.len().max(1) } else { 1 };
        let (mut taps, mut runs) = (Vec::new(), Vec::new());
        for &(k0, offset0) in &taps0 {
            for &(k1, offset1) in &taps1 {
                for run in taps2.chunks(run_len) {
                    runs.push(Run {
                        offset: [offset0, offset1, run[0].1],
                        first_tap: taps.len(),
                        len: run.len(),
                    });
                    taps.extend(run.iter().map(|&(k2, _)| (k0 * window[1] + k1) * window[2] + k2));
                }
            }
        }
        let offsets = || taps2.iter().map(|tap| tap.1);
        let reach = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        Self { taps, taps_before, runs, reach }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis() -> impl Strategy<Value = Axis> {
        (0..8usize, 1..4usize, 1..4usize, (-2..4isize, -2..4isize), 1..4usize, 1..4usize)
            .prop_map(|(n, k, s, p, l, r)| Axis::new(n, k, s, p, l, r).unwrap())
    }

    /// What output `o` sees, straight from the definition.
    fn seen(a: Axis, o: usize) -> Vec<(usize, usize)> {
        (0..a.window)
            .filter_map(|k| {
                let at = (o * a.stride + k * a.rhs_dilation) as isize - a.low;
                let inside = at >= 0 && (at as usize).is_multiple_of(a.lhs_dilation);
                Some((k, at as usize / a.lhs_dilation)).filter(|&(_, i)| inside && i < a.source)
            })
            .collect()
    }

    fn walk(plan: &Plan, images: usize) -> Vec<Vec<(usize, usize)>> {
        plan.pixels(0..images * plan.outputs())
            .map(|pixel| {
                let taps = &plan.phases[pixel.phase].taps;
                plan.sights(pixel)
                    .flat_map(|s| (0..s.len).map(move |i| (taps[s.first_tap + i], s.source + i)))
                    .collect()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn sees_what_the_definition_says(axes in [axis(), axis(), axis()]) {
            let plan = Plan::new(axes);
            let found = walk(&plan, 2);
            let mut expected = Vec::new();
            for image in 0..2 {
                for o0 in 0..axes[0].output { for o1 in 0..axes[1].output { for o2 in 0..axes[2].output {
                    let mut all = Vec::new();
                    for (k0, i0) in seen(axes[0], o0) { for (k1, i1) in seen(axes[1], o1) { for (k2, i2) in seen(axes[2], o2) {
                        all.push((
                            (k0 * axes[1].window + k1) * axes[2].window + k2,
                            ((image * axes[0].source + i0) * axes[1].source + i1) * axes[2].source + i2,
                        ));
                    }}}
                    expected.push(all);
                }}}
            }
            prop_assert_eq!(&found, &expected);

            let pixels: Vec<Pixel> = plan.pixels(0..2 * plan.outputs()).collect();
            for (i, from) in pixels.iter().enumerate() {
                for (j, to) in pixels.iter().enumerate().skip(i) {
                    if let Some(moved) = plan.moved(*to, *from) {
                        let from: Vec<_> = found[i].iter().map(|&(tap, source)| (tap, source + moved)).collect();
                        prop_assert_eq!(&from, &found[j]);
                    }
                }
            }

            let transposed = Plan::transposed(axes);
            let last = plan.window_len() - 1;
            let mut back: Vec<_> = walk(&transposed, 2).into_iter().enumerate()
                .flat_map(|(source, all)| all.into_iter().map(move |(k, output)| (output, last - k, source)))
                .collect();
            back.sort_unstable();
            let mut forth: Vec<_> = found.into_iter().enumerate()
                .flat_map(|(output, all)| all.into_iter().map(move |(k, source)| (output, k, source)))
                .collect();
            forth.sort_unstable();
            prop_assert_eq!(back, forth);
        }
    }

    #[test]
    fn impossible_parameters_are_errors() {
        for (source, window, stride, padding, lhs, rhs) in [
            (5, 0, 1, (0, 0), 1, 1),
            (5, 1, 0, (0, 0), 1, 1),
            (5, 1, 1, (0, 0), 0, 1),
            (5, 1, 1, (0, 0), 1, 0),
            (5, 1, 1, (isize::MAX, 0), 1, 1),
            (5, usize::MAX, 1, (0, 0), 1, 1),
        ] {
            let result = Axis::new(source, window, stride, padding, lhs, rhs);
            assert!(matches!(result, Err(Error::Parameter { .. })), "{result:?}");
        }
        assert!(matches!(Axis::new(LIMIT, 1, 1, (0, 0), LIMIT, 1), Err(Error::Shape { .. })));
        assert_eq!(Axis::new(2, 3, 1, (0, 0), 1, 1).unwrap().output, 0);
    }
}
