//! The C++ file's functions: backward passes that tch does not have, and steps of optimizers in place.

use std::ffi::{CStr, c_char};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use crate::buffer::Done;

unsafe extern "C" {
    fn backend_tch_free(message: *mut c_char);
    fn backend_tch_convolution_backward(
        out: *mut *mut C_tensor,
        g: *const C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        geometry: *const i64,
        spatial: usize,
        transposed: bool,
        groups: i64,
        input: bool,
    ) -> *mut c_char;
    fn backend_tch_batch_norm_backward(
        out: *mut *mut C_tensor,
        g: *const C_tensor,
        x: *const C_tensor,
        gamma: *const C_tensor,
        mean: *const C_tensor,
        rstd: *const C_tensor,
        epsilon: f64,
    ) -> *mut c_char;
    fn backend_tch_layer_norm_backward(
        out: *mut *mut C_tensor,
        g: *const C_tensor,
        x: *const C_tensor,
        last: *const i64,
        features: usize,
        mean: *const C_tensor,
        rstd: *const C_tensor,
        gamma: *const C_tensor,
    ) -> *mut c_char;
    fn backend_tch_sgd(
        w: *const C_tensor,
        g: *const C_tensor,
        m: *const C_tensor,
        learning_rate: f64,
        momentum: f64,
        nesterov: bool,
    ) -> *mut c_char;
    fn backend_tch_adam(
        w: *const C_tensor,
        g: *const C_tensor,
        m: *const C_tensor,
        v: *const C_tensor,
        alpha: f64,
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
    ) -> *mut c_char;
}

/// The error of a call that returned `message`.
fn checked(message: *mut c_char) -> Done<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a string that ends with 0, ours until we release it.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: it comes from the function's own allocator, and is not used again.
    unsafe { backend_tch_free(message) };
    Err(TchError::Torch(text).into())
}

/// The tensors that a call made.
fn made<const N: usize>(run: impl FnOnce(*mut *mut C_tensor) -> *mut c_char) -> Done<[Tensor; N]> {
    let mut out = [std::ptr::null_mut(); N];
    checked(run(out.as_mut_ptr()))?;
    // SAFETY: a call without an error has made all of them, and they are ours.
    Ok(out.map(|tensor| unsafe { Tensor::from_ptr(tensor) }))
}

/// The gradient of a convolution's input, or of its filter if not `input`, in libtorch's layout. `geometry` is strides,
/// padding, dilation and output padding.
pub(crate) fn convolution_backward(
    g: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    geometry: [&[i64]; 4],
    transposed: bool,
    groups: i64,
    input: bool,
) -> Done {
    let spatial = geometry[0].len();
    let lists = geometry.concat();
    let (g, x, weight) = (g.as_ptr(), x.as_ptr(), weight.as_ptr());
    // SAFETY: the tensors outlive the call, and `lists` holds four lists of `spatial` numbers.
    let [gradient] = made(|out| unsafe {
        let lists = lists.as_ptr();
        backend_tch_convolution_backward(out, g, x, weight, lists, spatial, transposed, groups, input)
    })?;
    Ok(gradient)
}

/// The gradients of a batch normalisation's input, scale and shift; axis 1 is that of the channels.
pub(crate) fn batch_norm_backward(
    g: &Tensor,
    x: &Tensor,
    gamma: &Tensor,
    mean: &Tensor,
    rstd: &Tensor,
    epsilon: f64,
) -> Done<[Tensor; 3]> {
    let [g, x, gamma, mean, rstd] = [g, x, gamma, mean, rstd].map(Tensor::as_ptr);
    // SAFETY: the tensors outlive the call, which makes three.
    made(|out| unsafe { backend_tch_batch_norm_backward(out, g, x, gamma, mean, rstd, epsilon) })
}

/// The gradients of a layer normalisation's input, scale and shift; `last` are the dimensions that it is over.
pub(crate) fn layer_norm_backward(
    g: &Tensor,
    x: &Tensor,
    last: &[i64],
    mean: &Tensor,
    rstd: &Tensor,
    gamma: &Tensor,
) -> Done<[Tensor; 3]> {
    let [g, x, mean, rstd, gamma] = [g, x, mean, rstd, gamma].map(Tensor::as_ptr);
    // SAFETY: the tensors and `last` outlive the call, which makes three.
    made(|out| unsafe {
        backend_tch_layer_norm_backward(out, g, x, last.as_ptr(), last.len(), mean, rstd, gamma)
    })
}

/// A step of SGD: changes `w`, and `m` where there is momentum. Nobody else may see them.
pub(crate) fn sgd(
    w: &Tensor,
    g: &Tensor,
    m: Option<&Tensor>,
    learning_rate: f64,
    momentum: f64,
    nesterov: bool,
) -> Done<()> {
    let m = m.map_or(std::ptr::null(), Tensor::as_ptr);
    // SAFETY: the tensors outlive the call.
    checked(unsafe { backend_tch_sgd(w.as_ptr(), g.as_ptr(), m, learning_rate, momentum, nesterov) })
}

/// A step of Adam on the variable, its gradient and its two moments; changes all but the gradient. Nobody else may see them.
pub(crate) fn adam([w, g, m, v]: [&Tensor; 4], [alpha, beta_1, beta_2, epsilon]: [f64; 4]) -> Done<()> {
    let [w, g, m, v] = [w, g, m, v].map(Tensor::as_ptr);
    // SAFETY: the tensors outlive the call.
    checked(unsafe { backend_tch_adam(w, g, m, v, alpha, beta_1, beta_2, epsilon) })
}
