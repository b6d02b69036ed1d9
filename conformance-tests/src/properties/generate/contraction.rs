//! Products that are summed.

use keras_spec::{ConvSpec, Op, Shape};

use super::{Family, Instance, narrower, numeric};
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, dim, shape, some_dim, tensor};

pub(super) fn families() -> Vec<Family> {
    vec![
        Family::new("matmul", numeric, |d, dtype| {
            let lead = shape(d, 0, 2);
            let [m, k, n] = [0; 3].map(|_| if d.below(8) == 7 { 19 } else { dim(d) });
            let with =
                |lead: Shape, rest: [usize; 2]| -> Shape { lead.iter().copied().chain(rest).collect() };
            let (a, b) = (with(narrower(d, &lead), [m, k]), with(narrower(d, &lead), [k, n]));
            let operands = [tensor(d, &a, dtype, Pool::Whole), tensor(d, &b, dtype, Pool::Whole)];
            Instance::exact(Op::MatMul, operands)
        }),
        Family::new("convolution", numeric, |d, dtype| {
            let (x, filter, spec) = convolution(d);
            let operands = [tensor(d, &x, dtype, Pool::Whole), tensor(d, &filter, dtype, Pool::Whole)];
            Instance::exact(Op::Convolution(spec), operands)
        }),
    ]
}

/// The shapes of input and filter, and a convolution with at least one step.
pub(crate) fn convolution(draw: &mut Draw<'_>) -> (Shape, Shape, ConvSpec) {
    let spatial = 1 + draw.below(3);
    let groups = 1 + draw.below(2);
    let (inputs, outputs) = (1 + draw.below(2), groups * (1 + draw.below(3)));
    let mut spec = ConvSpec { groups, ..ConvSpec::new(spatial) };
    let (mut x, mut filter) = (vec![some_dim(draw)], Vec::new());
    for i in 0..spatial {
        spec.strides[i] = 1 + draw.below(2);
        spec.input_dilation[i] = draw.pick(&[1, 1, 1, 2]);
        spec.filter_dilation[i] = draw.pick(&[1, 1, 2]);
        let k = 1 + draw.below(3);
        let reach = (k - 1) * spec.filter_dilation[i] + 1;
        spec.padding[i] = (draw.pick(&[0, 1, 2, -1]), draw.pick(&[0, 1, 2]));
        // Long enough for one step, whatever is cut off.
        x.push(reach + 1 + draw.below(4));
        filter.push(k);
    }
    x.push(inputs * groups);
    filter.extend([inputs, outputs]);
    (x.into(), filter.into(), spec)
}
