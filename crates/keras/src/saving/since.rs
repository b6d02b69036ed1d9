//! What came to Keras 3 in which of its versions, and what tf-keras does not have.

use serde_json::Value;

use super::legacy::Version;

/// Classes that are not in all of Keras 2, or came after Keras 3.0: layers, operations of graphs, losses, metrics and optimizers.
const CLASSES: &[(Version, &str)] = &[
    (
        Version::new(2, 4, 0),
        "AdditiveAttention Attention Conv1DTranspose LayerNormalization MultiHeadAttention",
    ),
    // TensorFlow 2.6 or later; with 2.4 some are experiments under other names.
    (
        Version::new(2, 6, 0),
        "CategoryEncoding CenterCrop ConvLSTM1D ConvLSTM3D DepthwiseConv1D Discretization EinsumDense \
         GroupNormalization HashedCrossing Hashing IntegerLookup Normalization RandomBrightness RandomContrast \
         RandomCrop RandomFlip RandomRotation RandomTranslation RandomZoom Rescaling Resizing StringLookup \
         TextVectorization UnitNormalization",
    ),
    (Version::new(3, 1, 0), "CropImages MelSpectrogram"),
    (Version::new(3, 2, 0), "Correlate Dice"),
    (Version::new(3, 3, 0), "CTCDecode CTCLoss Eigh PSNR RGBToGrayscale Select Slogdet Tversky"),
    (Version::new(3, 4, 0), "Argpartition HSVToRGB Lstsq Map RGBToHSV Scan Switch"),
    (Version::new(3, 5, 0), "AssociativeScan Lamb SearchSorted SegmentReduction"),
    (
        Version::new(3, 6, 0),
        "AutoContrast BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift \
         BitwiseXor DotProductAttention Histogram LeftShift Logdet Pipeline RightShift SaturateCast \
         Solarization Trunc",
    ),
    (
        Version::new(3, 7, 0),
        "Celu Circle ConcordanceCorrelation ConvertToTensor Exp2 Glu HardShrink HardTanh IFFT2 Inner \
         MaxNumBoundingBoxes PearsonCorrelation STFTInitializer STFTSpectrogram SoftShrink Squareplus \
         TanhShrink",
    ),
    (
        Version::new(3, 8, 0),
        "Diagflat Equalization MixUp RandAugment RandomColorDegeneration RandomColorJitter RandomGrayscale \
         RandomHue RandomPosterization RandomSaturation RandomSharpness RandomShear SparsePlus Sparsemax \
         Threshold UnravelIndex",
    ),
    (
        Version::new(3, 9, 0),
        "AugMix CutMix GaussianBlur PerspectiveTransform Polar RMSNorm RMSNormalization RandomErasing \
         RandomGaussianBlur RandomInvert RandomPerspective Rearrange Rot90 Signbit",
    ),
    (
        Version::new(3, 10, 0),
        "Angle CategoricalGeneralizedCrossEntropy ElasticTransform Muon RandomElasticTransform SparseSigmoid \
         ViewAsComplex ViewAsReal",
    ),
    (Version::new(3, 11, 0), "Cbrt Corrcoef Deg2rad Heaviside LayerNorm VectorizedMap"),
    (
        Version::new(3, 12, 0),
        "CholeskyInverse Gcd Hypot IsIn Isneginf Isposinf Isreal JVP Kron Lcm Logaddexp2 ReversibleEmbedding \
         ScaleAndTranslate Trapezoid Unfold View",
    ),
    (
        Version::new(3, 13, 0),
        "AdaptiveAveragePool AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D \
         AdaptiveMaxPool AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D ArraySplit EmptyLike \
         Ldexp Vander",
    ),
    (
        Version::new(3, 14, 0),
        "AllClose ContrastLimitedAdaptiveHistogramEqualization DepthToSpace Dstack Fliplr Flipud Fmod Fold \
         Geomspace Hsplit I0 Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanprod \
         Nanquantile Nanstd Nansum Nanvar Nextafter Ptp Rad2deg ScheduleFreeAdamW Sinc SpaceToDepth Vsplit",
    ),
    (
        Version::new(3, 15, 0),
        "CDist Dsplit Erfc Fabs Fmax Fmin MatrixRank MultiOptimizer Nanpercentile Percentile Pinv SSIM \
         SegmentMin SegmentProd SobelEdges Unique",
    ),
];

/// Activations that came after Keras 3.0.
const ACTIVATIONS: &[(Version, &str)] = &[
    (Version::new(3, 7, 0), "celu glu hard_shrink hard_tanh log_sigmoid soft_shrink squareplus tanh_shrink"),
    (Version::new(3, 8, 0), "sparse_plus sparsemax threshold"),
    (Version::new(3, 10, 0), "sparse_sigmoid"),
];

/// What of Keras 3.0 is not in tf-keras; `SpectralNormalization` is, but its own files are not read there.
const NOT_IN_TF_KERAS: &[&str] =
    &["CTC", "GroupQueryAttention", "GroupedQueryAttention", "LossScaleOptimizer", "SpectralNormalization"];

/// The version that a class of Keras 3 came with, if not all have it.
pub(super) fn class_since(class: &str) -> Option<Version> {
    since(CLASSES, class)
}

/// The version of Keras 3 that an activation came with, if 3.0 does not have it.
pub(super) fn activation_since(name: &str) -> Option<Version> {
    since(ACTIVATIONS, name)
}

fn since(lists: &[(Version, &str)], name: &str) -> Option<Version> {
    lists.iter().find(|(_, names)| names.split(' ').any(|n| n == name)).map(|(version, _)| *version)
}

/// Whether a version of Keras 2 has a class of Keras 3.
pub(super) fn is_in_keras_2(class: &str, version: Version) -> bool {
    // Of what came to Keras 3, it has only the optimizers and losses that were in both.
    !NOT_IN_TF_KERAS.contains(&class) && class_since(class).is_none_or(|since| since <= version)
}

/// Arguments that came to classes in a version of Keras 3, with the value that says what older versions do.
pub(super) const ADDED: &[(Version, &[&str], &str, Default)] = &[
    (Version::new(3, 3, 0), OPTIMIZERS, "gradient_accumulation_steps", Default::Null),
    (Version::new(3, 3, 0), OPTIMIZERS, "loss_scale_factor", Default::Null),
    (Version::new(3, 2, 0), &["CategoryEncoding"], "sparse", Default::False),
    (Version::new(3, 2, 0), &["OneHot", "MultiHot", "Bincount"], "sparse", Default::False),
    (Version::new(3, 3, 0), &["Argmax", "Argmin"], "keepdims", Default::False),
    (Version::new(3, 3, 0), &["Resizing"], "pad_to_aspect_ratio", Default::False),
    (Version::new(3, 3, 0), &["Resizing"], "fill_mode", Default::Text("constant")),
    (Version::new(3, 3, 0), &["Resizing"], "fill_value", Default::Zero),
    (Version::new(3, 9, 0), &["Resizing"], "antialias", Default::False),
    (Version::new(3, 4, 0), &["MultiHeadAttention"], "seed", Default::Null),
    (Version::new(3, 7, 0), GROUPED, "seed", Default::Null),
    (Version::new(3, 14, 0), GROUPED, "use_gate", Default::False),
    (Version::new(3, 15, 0), GROUPED, "sliding_window", Default::Null),
    (Version::new(3, 4, 0), &["InputLayer"], "optional", Default::False),
    (Version::new(3, 9, 0), &["InputLayer"], "ragged", Default::False),
    (Version::new(3, 5, 0), &["ZeroPadding1D"], "data_format", Default::Text("channels_last")),
    (Version::new(3, 6, 0), &["RandomFlip"], "data_format", Default::Text("channels_last")),
    (Version::new(3, 7, 0), &["SparseTopKCategoricalAccuracy"], "from_sorted_ids", Default::False),
    (Version::new(3, 10, 0), &["SparseCategoricalCrossentropy"], "axis", Default::MinusOne),
    (Version::new(3, 14, 0), &["BatchNormalization"], "renorm", Default::False),
    (Version::new(3, 14, 0), &["BatchNormalization"], "renorm_clipping", Default::Null),
    (Version::new(3, 14, 0), &["BatchNormalization"], "renorm_momentum", Default::Any),
    (Version::new(3, 13, 0), &["Dense", "EinsumDense", "Embedding"], "quantization_config", Default::Null),
    (Version::new(3, 14, 0), &["MultiHeadAttention"], "use_gate", Default::False),
    (Version::new(3, 15, 0), &["MultiHeadAttention"], "sliding_window", Default::Null),
    (Version::new(3, 15, 0), VARIANCE_SCALING, "input_axes", Default::Null),
    (Version::new(3, 15, 0), VARIANCE_SCALING, "output_axes", Default::Null),
];

/// Both names of the class are in files.
const GROUPED: &[&str] = &["GroupQueryAttention", "GroupedQueryAttention"];

/// Arguments that came to classes in a version of Keras 2, with the value that says what older versions do.
pub(super) const ADDED_TO_KERAS_2: &[(Version, &[&str], &str, Default)] = &[
    (Version::new(2, 4, 0), &["Conv1D", "Conv2D", "Conv3D"], "groups", Default::One),
    (Version::new(2, 6, 0), GLOBAL_POOLING, "keepdims", Default::False),
    (Version::new(2, 9, 0), &["GaussianNoise", "GaussianDropout", "AlphaDropout"], "seed", Default::Null),
    (Version::new(2, 11, 0), &["Attention"], "score_mode", Default::Text("dot")),
];

const GLOBAL_POOLING: &[&str] = &[
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
];

/// Arguments of Keras 3 that tf-keras does not take.
pub(super) const NOT_IN_KERAS_2: &[(&[&str], &str, Default)] = &[
    (&["LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"], "seed", Default::Any),
    (&["LSTMCell", "GRUCell", "SimpleRNNCell"], "seed", Default::Any),
    (&["LayerNormalization"], "rms_scaling", Default::False),
    (&["Attention", "AdditiveAttention", "MultiHeadAttention"], "seed", Default::Null),
    (&["BatchNormalization"], "synchronized", Default::False),
    (&["InputLayer"], "sparse", Default::False),
    (&["Sequential"], "build_input_shape", Default::Any),
    (&["Sequential", "Functional"], "trainable", Default::Any),
    (&["Sequential", "Functional"], "dtype", Default::Any),
    (&["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"], "seed", Default::Any),
];

const OPTIMIZERS: &[&str] = &[
    "SGD",
    "RMSprop",
    "Adam",
    "AdamW",
    "Adadelta",
    "Adagrad",
    "Adamax",
    "Nadam",
    "Ftrl",
    "Lion",
    "Adafactor",
    "Lamb",
    "LossScaleOptimizer",
];

const VARIANCE_SCALING: &[&str] = &[
    "VarianceScaling",
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LecunUniform",
    "LecunNormal",
];

/// The value of an argument that changes nothing.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Default {
    Null,
    False,
    Zero,
    One,
    MinusOne,
    Text(&'static str),
    Any,
}

impl Default {
    /// Whether a value is this one.
    pub(super) fn is(self, value: &Value) -> bool {
        match self {
            Default::Null => value.is_null(),
            Default::False => value.is_null() || value == false,
            Default::Zero => value.as_f64() == Some(0.0),
            Default::One => value == 1,
            Default::MinusOne => value == -1,
            Default::Text(text) => value.is_null() || value == text,
            Default::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_known_by_their_version() {
        assert_eq!(class_since("Dense"), None);
        assert_eq!(class_since("Rot90"), Some(Version::new(3, 9, 0)));
        assert_eq!(class_since("RMSNorm"), class_since("RMSNormalization"));
        assert_eq!(activation_since("glu"), Some(Version::new(3, 7, 0)));
        let (first, last) = (Version::new(2, 2, 4), Version::new(2, 21, 0));
        assert!(is_in_keras_2("Conv2D", first) && !is_in_keras_2("AdaptiveMaxPooling1D", last));
        assert!(!is_in_keras_2("LayerNormalization", first) && is_in_keras_2("LayerNormalization", last));
    }
}
