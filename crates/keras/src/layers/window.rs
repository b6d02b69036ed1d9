//! Windows that slide over the spatial axes: what convolution and pooling share.

use keras_spec::{Error, PartialShape, Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::layers::common::{DataFormat, input_of_rank};

/// What is put around the spatial axes before a window slides over them: `padding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Nothing: windows stay inside.
    #[default]
    Valid,
    /// As much as makes the output `⌈length / stride⌉` long, the larger half at the end.
    Same,
    /// So much at the beginning that no output depends on later steps (`Conv1D` only).
    Causal,
    /// What Theano did for `same` in convolutions: half a window at the beginning, and the rest at the end. Models of Keras 1
    /// and 2 that ran on it have this; Keras 3 does not know it.
    Half,
    /// What Theano did for `same` in pooling: all of a window but one or two elements at the beginning. As [`Padding::Half`],
    /// Keras 3 does not know it.
    HalfPool,
    /// [`Padding::HalfPool`] of zeros that count in averages: what Keras 2.0.4 to 2.1.4 did on Theano.
    HalfPoolCounted,
    /// Half a window at both ends, also where that makes one window more: what Theano did for `same` in separable convolutions.
    HalfBoth,
    /// [`Padding::Valid`] around the inputs of a recurrent convolution, [`Padding::Half`] around its states.
    ValidHalf,
    /// All places where a window meets an element: what Theano did for Keras 1's `full`. As [`Padding::Half`], Keras 3 does not
    /// know it; as a word it is `theano_full`, so that nobody asks for it by mistake.
    #[serde(rename = "theano_full")]
    Full,
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        match name.to_lowercase().as_str() {
            "valid" => Ok(Padding::Valid),
            "same" => Ok(Padding::Same),
            "causal" => Ok(Padding::Causal),
            "half" => Ok(Padding::Half),
            "halfpool" => Ok(Padding::HalfPool),
            "halfpoolcounted" => Ok(Padding::HalfPoolCounted),
            "halfboth" => Ok(Padding::HalfBoth),
            "validhalf" => Ok(Padding::ValidHalf),
            "theano_full" => Ok(Padding::Full),
            _ => Err(serde::de::Error::custom(format!("expected valid, same or causal, found {name:?}"))),
        }
    }
}

impl Padding {
    /// How much goes before and after an axis of a transposed convolution, once zeros have been put between its elements.
    pub(crate) fn transposed_amounts(
        self,
        span: usize,
        stride: usize,
        output_padding: Option<usize>,
    ) -> (isize, isize) {
        let before = span.saturating_sub(1);
        let (low, high) = match self {
            Padding::Same | Padding::Half => {
                let total = match output_padding {
                    None => stride.saturating_add(span),
                    Some(more) => (span + span % 2).saturating_add(more),
                };
                let total = total.saturating_sub(2);
                let low = match self {
                    Padding::Half => before.saturating_sub(span / 2),
                    _ => total.div_ceil(2).min(before),
                };
                (low, total.saturating_sub(low))
            }
            _ => (before, before + output_padding.unwrap_or(stride.saturating_sub(span))),
        };
        (low as isize, high as isize)
    }

    /// How much goes before and after an axis of `length` elements for a window that spans `span` of them.
    pub(crate) fn amounts(self, length: usize, span: usize, stride: usize) -> (usize, usize) {
        match self {
            Padding::Valid | Padding::ValidHalf => (0, 0),
            Padding::Full => (span.saturating_sub(1), span.saturating_sub(1)),
            Padding::Causal => (span.saturating_sub(1), 0),
            Padding::Same if length == 0 => (0, 0),
            Padding::Same => {
                let last = length.div_ceil(stride.max(1)) - 1;
                let total = last.saturating_mul(stride).saturating_add(span).saturating_sub(length);
                (total / 2, total - total / 2)
            }
            Padding::HalfBoth => (span / 2, span / 2),
            Padding::Half | Padding::HalfPool | Padding::HalfPoolCounted => {
                let low = match self {
                    Padding::Half => span / 2,
                    _ if span > 2 && span % 2 == 1 => span - 2,
                    _ => span.saturating_sub(1),
                };
                let last = length.div_ceil(stride.max(1)).saturating_sub(1);
                let end = last.saturating_mul(stride).saturating_add(span);
                (low, end.saturating_sub(length.saturating_add(low)))
            }
        }
    }

    /// How many windows there are along an axis of `length` elements.
    pub(crate) fn windows(self, length: usize, span: usize, stride: usize) -> usize {
        let (before, after) = self.amounts(length, span, stride);
        let room = length.saturating_add(before + after).checked_sub(span);
        room.map_or(0, |room| room / stride.max(1) + 1)
    }

    /// Refuses `causal` where Keras has it not.
    pub(crate) fn not_causal(self) -> Result<()> {
        match self {
            Padding::Causal => Err(Error::argument("padding", "`valid` or `same`", "`causal`")),
            _ => Ok(()),
        }
    }
}

/// How many elements `size` elements with `dilation - 1` others between them span.
pub(crate) fn span(size: usize, dilation: usize) -> usize {
    size.saturating_sub(1).saturating_mul(dilation).saturating_add(1)
}

/// The shape of the only input, which must have a batch axis, spatial axes and channels, and room for one window.
pub(crate) fn windowed_input<'a>(
    inputs: &'a [PartialShape],
    spans: &[usize],
    padding: Padding,
    format: DataFormat,
) -> Result<&'a PartialShape> {
    let input = input_of_rank(inputs, spans.len() + 2)?;
    let lengths = input.iter().skip(format.first_spatial_axis());
    let inside = matches!(padding, Padding::Valid | Padding::ValidHalf);
    if inside && lengths.zip(spans).any(|(l, span)| l.is_some_and(|l| l < *span)) {
        let found = format!("shape {input}, of which the computed output size would be zero or negative");
        return Err(Error::argument("inputs", format!("spatial lengths of at least {spans:?}"), found));
    }
    Ok(input)
}

impl DataFormat {
    /// A tensor of this format with its channels last.
    pub(crate) fn to_channels_last(self, x: &Tensor) -> Result<Tensor> {
        match self {
            DataFormat::ChannelsLast => Ok(x.clone()),
            DataFormat::ChannelsFirst => x.move_axis(1, -1),
        }
    }

    /// A tensor of this format from one whose channels are last.
    pub(crate) fn restore_channels(self, x: &Tensor) -> Result<Tensor> {
        match self {
            DataFormat::ChannelsLast => Ok(x.clone()),
            DataFormat::ChannelsFirst => x.move_axis(-1, 1),
        }
    }

    /// [`channel_axis`](DataFormat::channel_axis) as Keras's messages count it.
    pub(crate) fn signed_channel_axis(self) -> isize {
        match self {
            DataFormat::ChannelsLast => -1,
            DataFormat::ChannelsFirst => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_larger_half_at_the_end() {
        for (length, span, stride, expected) in [
            (5, 3, 1, (1, 1)),
            (5, 2, 1, (0, 1)),
            (5, 2, 2, (0, 1)),
            (6, 3, 2, (0, 1)),
            (7, 1, 3, (0, 0)),
            (4, 5, 4, (0, 1)),
            (1, 4, 2, (1, 2)),
            (0, 3, 2, (0, 0)),
        ] {
            let found = Padding::Same.amounts(length, span, stride);
            assert_eq!(found, expected, "length {length}, span {span}, stride {stride}");
        }
    }

    /// As many windows as with `same`, which begin where Theano's do.
    #[test]
    fn theano_begins_with_half_a_window() {
        for (length, span, stride) in [(5, 2, 1), (6, 3, 2), (7, 4, 3), (6, 5, 2), (1, 1, 2), (8, 2, 2)] {
            let windows = Padding::Same.windows(length, span, stride);
            for padding in [Padding::Half, Padding::HalfPool] {
                assert_eq!(
                    padding.windows(length, span, stride),
                    windows,
                    "{padding:?} {length} {span} {stride}"
                );
            }
        }
        assert_eq!(Padding::HalfBoth.windows(6, 3, 2), 3);
        assert_eq!(Padding::HalfBoth.windows(5, 2, 1), 6);
        assert_eq!(Padding::Half.amounts(5, 2, 1), (1, 0));
        assert_eq!(Padding::Half.amounts(6, 3, 2), (1, 0));
        assert_eq!(Padding::HalfPool.amounts(6, 2, 2), (1, 0));
        assert_eq!(Padding::HalfPool.amounts(7, 5, 1), (3, 1));
    }

    #[test]
    fn names_of_paddings_may_be_in_capitals() {
        assert_eq!(serde_json::from_str::<Padding>("\"SAME\"").ok(), Some(Padding::Same));
        assert!(serde_json::from_str::<Padding>("\"full\"").is_err());
        assert_eq!(serde_json::to_string(&Padding::HalfPool).ok().as_deref(), Some("\"halfpool\""));
    }
}
