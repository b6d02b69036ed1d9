//! Convolutions: weights in the order of ONNX, channels first.

use keras_spec::{HostTensor, Result};

use super::activation;
use super::graph::{Graph, permuted};
use super::proto::Attribute;
use super::site::Site;

/// Strides, dilations and padding of a convolution over `rank` dimensions.
struct Window {
    rank: usize,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    attributes: Vec<Attribute>,
}

impl Window {
    /// # Errors
    /// An argument is not what the class takes.
    fn of(site: &Site, kernel: &[i64]) -> Result<Self> {
        let rank = kernel.len();
        let strides = site.sizes("strides", rank)?;
        let dilations = site.sizes("dilation_rate", rank)?;
        let mut attributes = vec![
            Attribute::ints("kernel_shape", kernel),
            Attribute::ints("strides", &strides),
            Attribute::ints("dilations", &dilations),
        ];
        match site.text("padding")? {
            // onnxruntime does not take `auto_pad` with dilations; without strides, the amounts are the same for all lengths.
            "same" if strides.iter().all(|s| *s == 1) => {
                let total: Vec<i64> = kernel.iter().zip(&dilations).map(|(k, d)| d * (k - 1)).collect();
                let pads = total.iter().map(|n| n / 2).chain(total.iter().map(|n| n - n / 2));
                attributes.push(Attribute::ints("pads", &pads.collect::<Vec<_>>()));
            }
            "same" => attributes.push(Attribute::text("auto_pad", "SAME_UPPER")),
            "causal" => attributes.push(Attribute::ints("pads", &[dilations[0] * (kernel[0] - 1), 0])),
            _ => {}
        }
        Ok(Window { rank, strides, dilations, attributes })
    }
}

/// The spatial part of a kernel's shape in Keras's order.
fn spatial(kernel: &HostTensor) -> Vec<i64> {
    let dims = kernel.shape();
    dims[..dims.len().saturating_sub(2)].iter().map(|&n| n as i64).collect()
}

/// `Conv1D`, `Conv2D`, `Conv3D`
///
/// # Errors
/// An argument has no counterpart.
pub(super) fn convolution(graph: &mut Graph, site: &Site) -> Result<String> {
    if site.layer.weights().len() > 2 {
        return Err(site.unsupported("it has other weights than a kernel and a bias"));
    }
    let kernel = site.weight("kernel")?;
    let window = Window::of(site, &spatial(&kernel))?;
    let rank = window.rank;
    let axes: Vec<usize> = [rank + 1, rank].into_iter().chain(0..rank).collect();
    let groups = site.argument("groups").as_i64().unwrap_or(1);
    let kernel = permuted(&kernel, &axes)?;
    finish(graph, site, "Conv", &kernel, groups, window.attributes)
}

/// `DepthwiseConv1D`, `DepthwiseConv2D`: a group for each channel.
///
/// # Errors
/// An argument has no counterpart.
pub(super) fn depthwise(graph: &mut Graph, site: &Site) -> Result<String> {
    let kernel = site.weight("kernel")?;
    let window = Window::of(site, &spatial(&kernel))?;
    let (kernel, channels) = depthwise_kernel(&kernel)?;
    finish(graph, site, "Conv", &kernel, channels, window.attributes)
}

/// `(…, inputs, multiplier)` → `(inputs · multiplier, 1, …)`, and the number of inputs.
fn depthwise_kernel(kernel: &HostTensor) -> Result<(HostTensor, i64)> {
    let rank = kernel.shape().len() - 2;
    let (channels, multiplier) = (kernel.shape()[rank], kernel.shape()[rank + 1]);
    let axes: Vec<usize> = [rank, rank + 1].into_iter().chain(0..rank).collect();
    let shape: Vec<usize> =
        [channels * multiplier, 1].iter().chain(&kernel.shape()[..rank]).copied().collect();
    Ok((permuted(kernel, &axes)?.reshape(shape)?, channels as i64))
}

/// `SeparableConv1D`, `SeparableConv2D`: each channel by itself, then all at each place.
///
/// # Errors
/// An argument has no counterpart.
pub(super) fn separable(graph: &mut Graph, site: &Site) -> Result<String> {
    let own = site.weight("depthwise_kernel")?;
    let window = Window::of(site, &spatial(&own))?;
    let (own, channels) = depthwise_kernel(&own)?;
    let across = site.weight("pointwise_kernel")?;
    let axes: Vec<usize> = [window.rank + 1, window.rank].into_iter().chain(0..window.rank).collect();
    let across = permuted(&across, &axes)?;
    let bias = site.optional_weight("bias")?;
    let y = site.channels_first(graph, |graph, x| {
        let own = graph.constant("depthwise_kernel", &own)?;
        let attributes = [window.attributes, vec![Attribute::int("group", channels)]].concat();
        let y = graph.node("Conv", &[x, &own], attributes);
        let mut inputs = vec![y, graph.constant("pointwise_kernel", &across)?];
        if let Some(bias) = &bias {
            inputs.push(graph.constant("bias", bias)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(graph.node("Conv", &inputs, Vec::new()))
    })?;
    activation::argument(graph, site, "activation", y)
}

/// `Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`: what Keras puts around the input, ONNX cuts off the result.
///
/// # Errors
/// An argument has no counterpart.
pub(super) fn transposed(graph: &mut Graph, site: &Site) -> Result<String> {
    let kernel = site.weight("kernel")?;
    let sizes = spatial(&kernel);
    let rank = sizes.len();
    let mut window = Window::of(site, &sizes)?;
    window.attributes.truncate(3);
    let given = match site.argument("output_padding").is_null() {
        true => None,
        false => Some(site.sizes("output_padding", rank)?),
    };
    let (mut begins, mut ends, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for (i, size) in sizes.iter().enumerate() {
        let (stride, span) = (window.strides[i], (size - 1) * window.dilations[i] + 1);
        let given = given.as_ref().map(|g| g[i]);
        // What is put before and behind the input, once zeros stand between its elements.
        let (low, high) = match site.text("padding")? {
            "same" => {
                let total = given.map_or(stride + span - 2, |more| span + span % 2 + more - 2);
                let low = ((total + 1) / 2).min(span - 1);
                (low, total - low)
            }
            _ => (span - 1, span - 1 + given.unwrap_or((stride - span).max(0))),
        };
        begins.push(span - 1 - low);
        ends.push((span - 1 - high).max(0));
        more.push((high - (span - 1)).max(0));
    }
    if more.iter().zip(&window.strides).any(|(more, stride)| more >= stride) {
        return Err(site.unsupported("its `output_padding` is not less than its strides"));
    }
    window.attributes.push(Attribute::ints("pads", &[begins, ends].concat()));
    window.attributes.push(Attribute::ints("output_padding", &more));
    let axes: Vec<usize> = [rank + 1, rank].into_iter().chain(0..rank).collect();
    let kernel = permuted(&kernel, &axes)?;
    finish(graph, site, "ConvTranspose", &kernel, 1, window.attributes)
}

fn finish(
    graph: &mut Graph,
    site: &Site,
    op: &str,
    kernel: &HostTensor,
    groups: i64,
    mut attributes: Vec<Attribute>,
) -> Result<String> {
    attributes.push(Attribute::int("group", groups));
    let bias = site.optional_weight("bias")?;
    let y = site.channels_first(graph, |graph, x| {
        let mut inputs = vec![x.to_owned(), graph.constant("kernel", kernel)?];
        if let Some(bias) = &bias {
            inputs.push(graph.constant("bias", bias)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(graph.node(op, &inputs, attributes))
    })?;
    activation::argument(graph, site, "activation", y)
}
