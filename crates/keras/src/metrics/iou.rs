//! Intersection over union, from a confusion matrix (`keras.metrics.IoU` and its like, Keras 3.15.1).

use keras_spec::layer::auto_name;
use keras_spec::{CompareOp, DType, Device, Error, HostTensor, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::state::{State, add};
use crate::class::{builders, keras_class};

/// What is counted, and what of it is reported.
struct Matrix {
    classes: usize,
    targets: Vec<usize>,
    ignored: Option<i64>,
    dtype: DType,
    sparse_y_true: bool,
    sparse_y_pred: bool,
    axis: isize,
}

impl Matrix {
    fn validate(&self) -> Result<()> {
        match self.targets.iter().find(|&&id| id >= self.classes) {
            Some(id) => {
                let expected = format!("class indices in the range [0, {})", self.classes);
                Err(Error::argument("target_class_ids", expected, id))
            }
            None if self.targets.is_empty() => Err(Error::argument("target_class_ids", "a class", "none")),
            None => Ok(()),
        }
    }

    /// Counts a batch on the host: the result is a few numbers.
    fn update(&self, state: &State, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<()> {
        self.validate()?;
        let indices = |x: &Tensor, sparse: bool| -> Result<Vec<i64>> {
            let x = if sparse { x.clone() } else { x.argmax(self.axis)? };
            x.cast(self.dtype)?.cast(DType::I64)?.to_vec()
        };
        let (t, p) = (indices(y_true, self.sparse_y_true)?, indices(y_pred, self.sparse_y_pred)?);
        if t.len() != p.len() {
            let found = format!("{} and {}", y_true.shape(), y_pred.shape());
            return Err(Error::argument("y_pred", "as many predictions as targets", found));
        }
        let weights = match weight {
            None => vec![1.0; t.len()],
            Some(w) => {
                let flat = w.cast(self.dtype)?.reshape([w.shape().size()])?;
                flat.broadcast_to([t.len()])?.cast(DType::F64)?.to_vec::<f64>()?
            }
        };
        let mut matrix = vec![0f64; self.classes * self.classes];
        let index = |class: i64| usize::try_from(class).ok().filter(|&i| i < self.classes);
        for ((&t, &p), weight) in t.iter().zip(&p).zip(weights) {
            if let (Some(row), Some(column)) = (index(t), index(p))
                && self.ignored != Some(t)
            {
                matrix[row * self.classes + column] += weight;
            }
        }
        let shape = Shape::from([self.classes, self.classes]);
        let variables = state.get(&["total_confusion_matrix"], &shape, self.dtype, y_pred.device())?;
        let counts = HostTensor::new(shape, matrix)?.cast(self.dtype);
        add(&variables[0], &Tensor::from_host(counts, y_pred.device())?)
    }

    /// The mean over the classes asked for that occur.
    fn result(&self, state: &State) -> Result<Tensor> {
        let variables = state.variables();
        let [matrix] = &variables[..] else {
            return Tensor::full([], DType::F32, 0.0, &Device::default_device()?);
        };
        let n = self.classes;
        let m = matrix.get().cast(DType::F32)?.to_vec::<f32>()?;
        let (mut sum, mut occurring) = (0f32, 0f32);
        for &class in &self.targets {
            let row: f32 = (0..n).map(|j| m[class * n + j]).sum();
            let column: f32 = (0..n).map(|i| m[i * n + class]).sum();
            let right = m[class * n + class];
            let union = row + column - right;
            if union > 1e-9 {
                sum += right / (union + 1e-7);
                occurring += 1.0;
            }
        }
        Tensor::from_host(HostTensor::from(sum / (occurring + 1e-7)), matrix.get().device())
    }
}

fn int32() -> DType {
    DType::I32
}

fn yes() -> bool {
    true
}

fn last() -> isize {
    -1
}

fn both() -> Vec<usize> {
    vec![0, 1]
}

fn half() -> f64 {
    0.5
}

/// Declares a metric: its own fields, how it is made, and the matrix that they describe; `$prepare` changes predictions.
macro_rules! iou {
    (
        $(#[$doc:meta])*
        $Metric:ident, $auto:literal, [$($alias:literal)?],
        new($($argument:ident: $Argument:ty),*),
        { $($(#[serde($($serde:tt)*)])? $field:ident: $Type:ty = $default:expr,)* },
        { $($builders:tt)* },
        |$this:ident| $matrix:expr,
        $prepare:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $Metric {
            #[serde(default = $auto)]
            name: String,
            #[serde(default = "int32")]
            dtype: DType,
            $($(#[serde($($serde)*)])? $field: $Type,)*
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric $(, aliases [$alias])?, check validate);

        impl $Metric {
            /// The metric with Keras's defaults.
            pub fn new($($argument: $Argument),*) -> Self {
                $Metric {
                    name: Self::auto(),
                    dtype: DType::I32,
                    $($field: $default,)*
                    state: State::default(),
                }
            }

            fn auto() -> String {
                auto_name(stringify!($Metric))
            }

            builders! {
                $($builders)*
                /// The name in logs.
                name: String;
                /// The dtype of the counts. Default: int32.
                dtype: DType;
            }

            fn matrix(&self) -> Matrix {
                let $this = self;
                $matrix
            }

            fn validate(&self) -> Result<()> {
                self.matrix().validate()
            }
        }

        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                let prepare: fn(&Self, &Tensor) -> Result<Tensor> = $prepare;
                self.matrix().update(&self.state, y_true, &prepare(self, y_pred)?, sample_weight)
            }

            fn result(&self) -> Result<Tensor> {
                self.matrix().result(&self.state)
            }

            fn reset_state(&self) -> Result<()> {
                self.state.reset()
            }

            fn variables(&self) -> Vec<Variable> {
                self.state.variables()
            }
        }
    };
}

iou! {
    /// The mean intersection over union of some classes, of class indices (`keras.metrics.IoU`).
    IoU, "IoU::auto", [],
    new(num_classes: usize, target_class_ids: Vec<usize>),
    {
        num_classes: usize = num_classes,
        target_class_ids: Vec<usize> = target_class_ids,
        #[serde(default)]
        ignore_class: Option<i64> = None,
        #[serde(default = "yes")]
        sparse_y_true: bool = true,
        #[serde(default = "yes")]
        sparse_y_pred: bool = true,
        #[serde(default = "last")]
        axis: isize = -1,
    },
    {
        /// A class of targets that does not count.
        some ignore_class = i64;
        /// Whether targets are class indices, and not one-hot. Default: yes.
        sparse_y_true = bool;
        /// Whether predictions are class indices, and not one score per class. Default: yes.
        sparse_y_pred = bool;
        /// The axis of the classes. Default: the last.
        axis = isize;
    },
    |this| Matrix {
        classes: this.num_classes,
        targets: this.target_class_ids.clone(),
        ignored: this.ignore_class,
        dtype: this.dtype,
        sparse_y_true: this.sparse_y_true,
        sparse_y_pred: this.sparse_y_pred,
        axis: this.axis,
    },
    |_, p| Ok(p.clone())
}
iou! {
    /// [`IoU`] of the classes 0 and 1, of predictions that exceed a threshold or not (`keras.metrics.BinaryIoU`).
    BinaryIoU, "BinaryIoU::auto", ["binary_io_u"],
    new(),
    {
        #[serde(default = "both")]
        target_class_ids: Vec<usize> = both(),
        #[serde(default = "half")]
        threshold: f64 = half(),
    },
    {
        /// The classes that are reported. Default: both.
        target_class_ids: Vec<usize>;
        /// What a prediction must reach to mean 1.
        threshold: f64;
    },
    |this| Matrix {
        classes: 2,
        targets: this.target_class_ids.clone(),
        ignored: None,
        dtype: this.dtype,
        sparse_y_true: true,
        sparse_y_pred: true,
        axis: -1,
    },
    |this, p| p.cast(DType::F32)?.compare_with(CompareOp::Ge, this.threshold)?.cast(DType::I32)
}
iou! {
    /// [`IoU`] of all classes (`keras.metrics.MeanIoU`).
    MeanIoU, "MeanIoU::auto", [],
    new(num_classes: usize),
    {
        num_classes: usize = num_classes,
        #[serde(default)]
        ignore_class: Option<i64> = None,
        #[serde(default = "yes")]
        sparse_y_true: bool = true,
        #[serde(default = "yes")]
        sparse_y_pred: bool = true,
        #[serde(default = "last")]
        axis: isize = -1,
    },
    {
        /// A class of targets that does not count.
        some ignore_class = i64;
        /// Whether targets are class indices, and not one-hot. Default: yes.
        sparse_y_true = bool;
        /// Whether predictions are class indices, and not one score per class. Default: yes.
        sparse_y_pred = bool;
        /// The axis of the classes. Default: the last.
        axis = isize;
    },
    |this| Matrix {
        classes: this.num_classes,
        targets: (0..this.num_classes).collect(),
        ignored: this.ignore_class,
        dtype: this.dtype,
        sparse_y_true: this.sparse_y_true,
        sparse_y_pred: this.sparse_y_pred,
        axis: this.axis,
    },
    |_, p| Ok(p.clone())
}
iou! {
    /// [`IoU`] of some classes, of one-hot targets (`keras.metrics.OneHotIoU`).
    OneHotIoU, "OneHotIoU::auto", [],
    new(num_classes: usize, target_class_ids: Vec<usize>),
    {
        num_classes: usize = num_classes,
        target_class_ids: Vec<usize> = target_class_ids,
        #[serde(default)]
        ignore_class: Option<i64> = None,
        #[serde(default)]
        sparse_y_pred: bool = false,
        #[serde(default = "last")]
        axis: isize = -1,
    },
    {
        /// A class of targets that does not count.
        some ignore_class = i64;
        /// Whether predictions are class indices, and not one score per class. Default: no.
        sparse_y_pred = bool;
        /// The axis of the classes. Default: the last.
        axis = isize;
    },
    |this| Matrix {
        classes: this.num_classes,
        targets: this.target_class_ids.clone(),
        ignored: this.ignore_class,
        dtype: this.dtype,
        sparse_y_true: false,
        sparse_y_pred: this.sparse_y_pred,
        axis: this.axis,
    },
    |_, p| Ok(p.clone())
}
iou! {
    /// [`IoU`] of all classes, of one-hot targets (`keras.metrics.OneHotMeanIoU`).
    OneHotMeanIoU, "OneHotMeanIoU::auto", [],
    new(num_classes: usize),
    {
        num_classes: usize = num_classes,
        #[serde(default)]
        ignore_class: Option<i64> = None,
        #[serde(default)]
        sparse_y_pred: bool = false,
        #[serde(default = "last")]
        axis: isize = -1,
    },
    {
        /// A class of targets that does not count.
        some ignore_class = i64;
        /// Whether predictions are class indices, and not one score per class. Default: no.
        sparse_y_pred = bool;
        /// The axis of the classes. Default: the last.
        axis = isize;
    },
    |this| Matrix {
        classes: this.num_classes,
        targets: (0..this.num_classes).collect(),
        ignored: this.ignore_class,
        dtype: this.dtype,
        sparse_y_true: false,
        sparse_y_pred: this.sparse_y_pred,
        axis: this.axis,
    },
    |_, p| Ok(p.clone())
}

impl Default for BinaryIoU {
    fn default() -> Self {
        BinaryIoU::new()
    }
}
