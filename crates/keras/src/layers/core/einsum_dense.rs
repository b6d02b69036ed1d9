use keras_spec::{
    Builder, Call, Config, Constraint, Error, Initializer, Layer, LayerRef, PartialShape, Regularizer,
    Result, Shared, Tensor, TensorSpec, Variable,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{input_of_rank, keras_layer, no_quantization, one, weight_spec};
use crate::layers::parameters::{Bias, Kernel, Lora};

/// `activation(einsum(equation, x, kernel) + bias)` (`keras.layers.EinsumDense`, Keras 3.15.1).
///
/// Weights: `kernel`, of the lengths that the equation's second operand asks for, and `bias` where there are `bias_axes`; with
/// `lora_rank` also `lora_kernel_a` and `lora_kernel_b`, whose product is added to the kernel, and the kernel itself is frozen.
///
/// ```
/// use keras::layers::EinsumDense;
///
/// // (batch, steps, features) → (batch, steps, heads, 64)
/// let per_head = EinsumDense::new("abc,cde->abde", [None, Some(8), Some(64)]).bias_axes("de");
/// # let _ = per_head;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EinsumDense {
    equation: String,
    #[serde(deserialize_with = "shape_or_length")]
    output_shape: PartialShape,
    #[serde(default)]
    activation: Activation,
    #[serde(default)]
    bias_axes: Option<String>,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(default)]
    quantization_config: Option<Value>,
    /// Says something of quantized kernels only.
    #[serde(default, skip_serializing, rename = "gptq_unpacked_column_size")]
    _gptq_unpacked_column_size: Option<usize>,
    #[serde(flatten, deserialize_with = "flattened")]
    lora: Lora,
}

keras_layer!(EinsumDense, check validate);

fn shape_or_length<'de, D: Deserializer<'de>>(d: D) -> Result<PartialShape, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Length(usize),
        Shape(PartialShape),
    }
    Ok(match Form::deserialize(d)? {
        Form::Length(length) => PartialShape::from([Some(length)]),
        Form::Shape(shape) => shape,
    })
}

impl EinsumDense {
    /// By an equation of the form `X,Y->Z`, `...X,Y->...Z` or `X...,Y->Z...`, where `X` are the axes of the input, the batch
    /// axis first, and `Y` those of the kernel. `output_shape` has the lengths of `Z` without the batch axis and `...`; `None`
    /// where the length is the input's.
    pub fn new(equation: &str, output_shape: impl Into<PartialShape>) -> Self {
        EinsumDense {
            equation: equation.to_owned(),
            output_shape: output_shape.into(),
            activation: Activation::Linear,
            bias_axes: None,
            kernel: Kernel::default(),
            bias: Bias::default(),
            quantization_config: None,
            _gptq_unpacked_column_size: None,
            lora: Lora::default(),
        }
    }

    builders! {
        /// Applied last. Default: none.
        activation: Activation;
        /// The axes of the result that have a bias of their own. Default: no bias.
        some bias_axes: String;
        /// First values of the kernel. Default: `GlorotUniform`.
        kernel_initializer in kernel: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some kernel_regularizer in kernel: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some kernel_constraint in kernel: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
        /// Trains a product of two matrices of this rank instead of the kernel.
        some lora_rank in lora = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Default: the rank.
        some lora_alpha in lora: f64;
    }

    /// Takes the initializers, regularizers and constraints of another layer's projections.
    pub(crate) fn parameters(mut self, kernel: Kernel, bias: Bias) -> Self {
        self.kernel = kernel;
        self.bias = bias;
        self
    }

    fn validate(&self) -> Result<()> {
        self.lora.validate("kernel_constraint", self.kernel.kernel_constraint.as_ref())?;
        no_quantization(self.quantization_config.as_ref())
    }

    fn lora_scale(&self) -> f64 {
        match (self.lora.lora_alpha, self.lora.lora_rank) {
            (Some(alpha), Some(rank)) => alpha / rank as f64,
            _ => 1.0,
        }
    }
}

/// What the equation says for an input.
struct Analysis {
    /// Axes and their lengths, of which that of the batch may be unknown.
    kernel: Vec<(char, Option<usize>)>,
    bias: Option<Vec<usize>>,
    output: PartialShape,
    /// The kernel's axes that are summed over, and the others.
    axes: (Vec<isize>, Vec<isize>),
}

/// The axes of one operand of an equation.
struct Term<'a> {
    letters: &'a str,
    /// Where `...` is.
    elided: Option<Side>,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

fn known(axis: char, length: Option<usize>) -> Result<usize> {
    length.ok_or_else(|| Error::argument("output_shape", format!("a length for axis `{axis}`"), "None"))
}

fn term(text: &str) -> Term<'_> {
    match (text.strip_prefix("..."), text.strip_suffix("...")) {
        (Some(letters), _) => Term { letters, elided: Some(Side::Left) },
        (None, Some(letters)) => Term { letters, elided: Some(Side::Right) },
        (None, None) => Term { letters: text, elided: None },
    }
}

impl EinsumDense {
    fn analyse(&self, input: &PartialShape) -> Result<Analysis> {
        let text = &self.equation;
        let wrong = |expected: String| Error::argument("equation", expected, format!("{text:?}"));
        let form = || wrong("the form [X],[Y]->[Z], ...[X],[Y]->...[Z] or [X]...,[Y]->[Z]...".to_owned());
        let (operands, z) = text.split_once("->").ok_or_else(form)?;
        let (x, y) = operands.split_once(',').ok_or_else(form)?;
        let (x, z) = (term(x), term(z));
        let letters = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphabetic());
        if x.elided != z.elided || ![x.letters, y, z.letters].into_iter().all(letters) {
            return Err(form());
        }
        let elided = input.rank().checked_sub(x.letters.len());
        let elided = elided.filter(|&n| n == 0 || x.elided.is_some());
        let elided = elided.ok_or_else(|| wrong(format!("letters for an input of shape {input}")))?;
        let left = if x.elided == Some(Side::Left) { elided } else { 0 };
        // The first letter is the batch axis, unless `...` holds it.
        let mut lengths = self.output_shape.dims().to_vec();
        if left == 0 {
            lengths.insert(0, input.first().copied().flatten());
        }
        if lengths.len() != z.letters.len() {
            let expected = format!("one length for each of \"{}\" but the batch axis", z.letters);
            return Err(Error::argument("output_shape", expected, &self.output_shape));
        }
        let of_input = |c: char| x.letters.find(c).and_then(|i| input[left + i]);
        let of_output = |c: char| z.letters.find(c).and_then(|i| lengths[i]);
        for c in x.letters.chars().filter(|&c| z.letters.contains(c)) {
            if let (Some(given), found) = (of_output(c), of_input(c))
                && Some(given) != found
            {
                let expected = format!("the input's length of axis `{c}`, or None");
                return Err(Error::argument("output_shape", expected, given));
            }
        }
        if let Some(c) = z.letters.chars().find(|&c| !x.letters.contains(c) && !y.contains(c)) {
            return Err(wrong(format!("axis `{c}` of the result among those of the input or the kernel")));
        }
        let named = z.letters.chars().map(|c| of_output(c).or_else(|| of_input(c)));
        let (before, after) =
            (input[..left].iter().copied(), input[input.rank() - (elided - left)..].iter().copied());
        let output = before.chain(named).chain(after).collect();
        let mut analysis =
            Analysis { kernel: Vec::new(), bias: None, output, axes: (Vec::new(), Vec::new()) };
        for (i, c) in y.chars().enumerate() {
            if z.letters.contains(c) {
                analysis.kernel.push((c, of_output(c)));
                analysis.axes.1.push(i as isize);
            } else if x.letters.contains(c) {
                analysis.kernel.push((c, of_input(c)));
                analysis.axes.0.push(i as isize);
            } else {
                return Err(wrong(format!(
                    "axis `{c}` of the kernel among those of the input or the result"
                )));
            }
        }
        let Some(axes) = &self.bias_axes else { return Ok(analysis) };
        if let Some(c) = axes.chars().find(|&c| !z.letters.contains(c)) {
            let expected = format!("axes of the result \"{}\"", z.letters);
            return Err(Error::argument("bias_axes", expected, format!("`{c}`")));
        }
        let first = axes.chars().filter_map(|c| z.letters.find(c)).min();
        let spread = z.letters.chars().skip(first.unwrap_or(z.letters.len()));
        let mut bias = spread
            .map(|c| if axes.contains(c) { known(c, of_output(c)) } else { Ok(1) })
            .collect::<Result<Vec<_>>>()?;
        bias.extend(vec![1; elided - left]);
        analysis.bias = Some(bias);
        Ok(analysis)
    }
}

impl Layer for EinsumDense {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        input_of_rank(inputs, input.rank())?;
        let analysis = self.analyse(input)?;
        let lengths = analysis.kernel.iter().map(|&(axis, length)| known(axis, length));
        let lengths = lengths.collect::<Result<Vec<_>>>()?;
        let Kernel { kernel_initializer, kernel_regularizer, kernel_constraint, weight } = &self.kernel;
        let counted = kernel_initializer.with_axes(&analysis.axes.0, &analysis.axes.1);
        let initializer = counted.as_ref().unwrap_or(kernel_initializer);
        let (regularizer, constraint) = (kernel_regularizer.as_ref(), kernel_constraint.as_ref());
        let kernel = weight_spec("kernel", &lengths, initializer, regularizer, constraint)?;
        builder.weight(weight, kernel)?;
        if let Some(shape) = analysis.bias {
            self.bias.build(builder, "bias", shape)?;
        }
        self.lora.build(builder, "kernel", weight, regularizer)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let kernel = self.kernel.weight.value()?;
        let kernel = self.lora.merged(kernel, self.lora_scale(), call.compute_dtype())?;
        // The kernel has no `...`: the input's axes meet none of its own.
        let mut y = Tensor::einsum(&self.equation, &[one(inputs)?.clone(), kernel])?;
        if let Some(bias) = self.bias.weight.optional()? {
            y = (y + bias)?;
        }
        Ok(vec![self.activation.call(&y)?])
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        // The output has the layer's dtype, which the input has unless it is of integers.
        let Some(x) = inputs.first().filter(|x| x.dtype.is_float()) else { return Ok(None) };
        Ok(Some(vec![TensorSpec::new(self.analyse(&x.shape)?.output, x.dtype)]))
    }

    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        self.lora.saved(own, self.lora_scale())
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
        if let (Some(rank), None) = (self.lora.lora_rank, self.lora.lora_alpha) {
            config.insert("lora_alpha".to_owned(), rank.into());
        }
    }
}
