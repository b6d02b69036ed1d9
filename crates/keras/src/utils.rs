//! What programs prepare their data and models with (`keras.utils`, Keras 3.15.1).

use keras_spec::{Element, Error, HostTensor, Result};
use serde::{Deserialize, Serialize};

use crate::{Model, model_from_json};

/// Class indices as one-hot rows: `(…)` → `(…, num_classes)` of float32 (`keras.utils.to_categorical`, Keras 3.15.1). A last
/// axis of length 1 goes away. Without `num_classes` there are as many classes as the greatest index asks for.
///
/// ```
/// use keras::utils::to_categorical;
/// use keras_spec::HostTensor;
///
/// let labels = HostTensor::new([3], vec![0i32, 2, 1])?;
/// assert_eq!(to_categorical(&labels, None)?.to_f64_vec(), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), keras::Error>(())
/// ```
///
/// # Errors
/// If an index is negative or not below `num_classes`.
pub fn to_categorical(labels: &HostTensor, num_classes: Option<usize>) -> Result<HostTensor> {
    let indices: Vec<i64> = labels.to_f64_vec().into_iter().map(|x| x as i64).collect();
    let greatest = indices.iter().copied().max().unwrap_or(-1);
    let classes = num_classes.unwrap_or(usize::try_from(greatest + 1).unwrap_or(0));
    let mut shape = labels.shape().clone();
    if shape.rank() > 1 && shape.last() == Some(&1) {
        shape.remove(shape.rank() - 1);
    }
    shape.push(classes);
    let mut rows = vec![0f32; shape.size()];
    for (i, &index) in indices.iter().enumerate() {
        let place = usize::try_from(index).ok().filter(|&c| c < classes);
        let Some(class) = place else {
            return Err(Error::argument("labels", format!("class indices in 0..{classes}"), index));
        };
        rows[i * classes + class] = 1.0;
    }
    HostTensor::new(shape, rows)
}

/// An end of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The beginning.
    #[default]
    Pre,
    /// The end.
    Post,
}

/// Sequences as rows of one length: `(sequences, maxlen)` (`keras.utils.pad_sequences`, Keras 3.15.1).
///
/// ```
/// use keras::utils::{End, PadSequences};
///
/// let rows = PadSequences::new().maxlen(2).padding(End::Post).pad(&[vec![1i32], vec![2, 3, 4]])?;
/// assert_eq!(rows.into_vec::<i32>()?, [1, 0, 3, 4]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PadSequences {
    maxlen: Option<usize>,
    padding: End,
    truncating: End,
    value: f64,
}

impl PadSequences {
    /// To the length of the longest sequence, with zeros before shorter ones.
    pub fn new() -> Self {
        Self::default()
    }

    crate::class::builders! {
        /// The length of the rows. Default: that of the longest sequence.
        some maxlen = usize;
        /// Where shorter sequences are filled up. Default: at the beginning.
        padding = End;
        /// Where longer sequences are cut off. Default: at the beginning.
        truncating = End;
        /// What they are filled up with. Default: 0.
        value: f64;
    }

    /// Fills up and cuts off.
    ///
    /// # Errors
    /// If there is no memory for the rows.
    pub fn pad<T: Element>(&self, sequences: &[impl AsRef<[T]>]) -> Result<HostTensor> {
        let longest = sequences.iter().map(|s| s.as_ref().len()).max().unwrap_or(0);
        let length = self.maxlen.unwrap_or(longest);
        let fill: T = keras_spec::host::cast_element(self.value);
        let mut rows = Vec::with_capacity(length.saturating_mul(sequences.len()));
        for sequence in sequences {
            let sequence = sequence.as_ref();
            let surplus = sequence.len().saturating_sub(length);
            let kept = match self.truncating {
                End::Pre => &sequence[surplus..],
                End::Post => &sequence[..sequence.len() - surplus],
            };
            let missing = length - kept.len();
            if self.padding == End::Pre {
                rows.extend(std::iter::repeat_n(fill, missing));
            }
            rows.extend_from_slice(kept);
            if self.padding == End::Post {
                rows.extend(std::iter::repeat_n(fill, missing));
            }
        }
        HostTensor::new([sequences.len(), length], rows)
    }
}

/// A model of the same architecture with weights of its own, which begin anew (`keras.models.clone_model`, Keras 3.15.1,
/// without its arguments).
///
/// # Errors
/// If the configuration of a layer cannot be written.
pub fn clone_model(model: &Model) -> Result<Model> {
    model_from_json(&model.to_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_rows() {
        let labels = HostTensor::new([2, 1], vec![1i64, 0]).unwrap();
        let rows = to_categorical(&labels, Some(3)).unwrap();
        assert_eq!(
            (rows.shape().dims(), rows.to_f64_vec()),
            (&[2, 3][..], vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
        );
        let labels = HostTensor::new([2, 2], vec![1i32, 0, 2, 2]).unwrap();
        assert_eq!(to_categorical(&labels, None).unwrap().shape().dims(), [2, 2, 3]);
        for wrong in [-1, 3] {
            let labels = HostTensor::new([1], vec![wrong]).unwrap();
            assert!(to_categorical(&labels, Some(3)).is_err());
        }
    }

    /// As the real Keras gives them.
    #[test]
    fn sequences_become_rows() {
        let sequences = [vec![1i32], vec![2, 3], vec![4, 5, 6]];
        let rows = |p: PadSequences| p.pad(&sequences).unwrap().into_vec::<i32>().unwrap();
        assert_eq!(rows(PadSequences::new()), [0, 0, 1, 0, 2, 3, 4, 5, 6]);
        assert_eq!(rows(PadSequences::new().maxlen(2)), [0, 1, 2, 3, 5, 6]);
        let post = PadSequences::new().maxlen(2).padding(End::Post).truncating(End::Post).value(-1.0);
        assert_eq!(rows(post), [1, -1, 2, 3, 4, 5]);
        assert_eq!(PadSequences::new().pad::<i32>(&[vec![]]).unwrap().shape().dims(), [1, 0]);
    }
}
