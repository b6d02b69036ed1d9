//! Gradients at kinks, poles and ties are those of Keras on JAX (`spec/generate/kinks.py`).

use backend_ndarray as _;
use keras_spec::{
    BinaryOp, Dims, GradientOptions, ReduceOp, Result, Tensor, UnaryOp, WindowSpec, gradients_with, scope,
};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    let number = |v: &Value| v.as_str().map_or_else(|| v.as_f64().unwrap() as f32, |s| s.parse().unwrap());
    value.as_array().unwrap().iter().map(number).collect()
}

fn tensors(value: &Value) -> Vec<Tensor> {
    let vector = |v: &Value| {
        let v = numbers(v);
        Tensor::new([v.len()], v).unwrap()
    };
    value.as_array().unwrap().iter().map(vector).collect()
}

fn run(op: &str, x: &[Tensor]) -> Result<Tensor> {
    let unary = |op| x[0].unary(op);
    let binary = |op| Tensor::binary(op, x[0].clone(), x[1].clone());
    match op {
        "relu" => unary(UnaryOp::Relu),
        "absolute" => unary(UnaryOp::Abs),
        "sign" => unary(UnaryOp::Sign),
        "floor" => unary(UnaryOp::Floor),
        "ceil" => unary(UnaryOp::Ceil),
        "round" => unary(UnaryOp::Round),
        "sqrt" => unary(UnaryOp::Sqrt),
        "rsqrt" => unary(UnaryOp::Rsqrt),
        "log" => unary(UnaryOp::Log),
        "log1p" => unary(UnaryOp::Log1p),
        "arcsin" => unary(UnaryOp::Asin),
        "arccos" => unary(UnaryOp::Acos),
        "arccosh" => unary(UnaryOp::Acosh),
        "arctanh" => unary(UnaryOp::Atanh),
        "erfinv" => unary(UnaryOp::ErfInv),
        "softplus" => unary(UnaryOp::Softplus),
        "sigmoid" => unary(UnaryOp::Sigmoid),
        "tanh" => unary(UnaryOp::Tanh),
        "maximum" => binary(BinaryOp::Max),
        "minimum" => binary(BinaryOp::Min),
        "power" => binary(BinaryOp::Pow),
        "mod" => binary(BinaryOp::Mod),
        "floor_divide" => binary(BinaryOp::FloorDiv),
        "divide" => binary(BinaryOp::Div),
        "arctan2" => binary(BinaryOp::Atan2),
        "max" => x[0].max(&[], false),
        "min" => x[0].min(&[], false),
        "prod" => x[0].prod(&[], false),
        "cumprod" => x[0].cumulative(ReduceOp::Prod, 0),
        "cumsum" => x[0].cumulative(ReduceOp::Sum, 0),
        "sort" => x[0].sort(0, false),
        "clip" => x[0].clip(-1.0, 1.0),
        "softmax" => x[0].softmax(-1),
        "take" => x[0].take(&Tensor::new([3], vec![2, 2, 0])?, 0),
        "max_pool" => {
            let window = WindowSpec {
                size: Dims::from_slice(&[2]),
                strides: Dims::from_slice(&[2]),
                padding: [(0, 0)].into_iter().collect(),
            };
            x[0].reshape([1, x[0].shape().size(), 1])?.reduce_window(ReduceOp::Max, window)
        }
        // The activation that kernels know, through an identity.
        "hard_sigmoid" => {
            use keras_spec::{Activ, Fused, op::Op};
            let op = Op::Fused(Fused::Dense { activation: Activ::HardSigmoid });
            let (one, zero) = (Tensor::new([1, 1], vec![1f32])?, Tensor::new([1], vec![0f32])?);
            Tensor::apply1(op, [x[0].expand_dims(-1)?, one, zero])
        }
        other => panic!("the file has `{other}`, which this test does not know"),
    }
}

#[test]
fn as_keras_on_jax() {
    agree();
}

#[test]
fn compositions_as_keras_on_jax() {
    scope::decomposed(agree);
}

fn agree() {
    let file: Value = serde_json::from_str(include_str!("data/kinks.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 30);
    let mut wrong = Vec::new();
    for case in cases {
        let op = case["op"].as_str().unwrap();
        let operands: Vec<Tensor> = tensors(&case["operands"]).iter().map(Tensor::watch).collect();
        let y = run(op, &operands).unwrap();
        let cotangent = tensors(&case["cotangent"])[0].reshape(y.shape()).unwrap();
        let options = GradientOptions { cotangents: Some(vec![cotangent]), create_graph: false };
        let sources: Vec<&Tensor> = operands.iter().collect();
        let found = gradients_with(&[&y], &sources, &options).unwrap();
        for (k, (found, expected)) in found.iter().zip(case["gradients"].as_array().unwrap()).enumerate() {
            let (found, expected) = (found.as_ref().unwrap().to_vec::<f32>().unwrap(), numbers(expected));
            let same = |(f, e): (&f32, &f32)| {
                f == e || (f.is_nan() && e.is_nan()) || (f - e).abs() <= 1e-6 * e.abs().max(1e-3)
            };
            if found.len() != expected.len() || !found.iter().zip(&expected).all(same) {
                wrong.push(format!("{op}, operand {k}: found {found:?}, expected {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
