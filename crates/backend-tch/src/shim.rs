//! The C++ file's functions: what tch does not have. Backward passes, steps of optimizers in place, libtorch's threads, its
//! tensors' memory and tensors over ours.

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use keras_kernels::par::Threads;
use keras_spec::Fused;
use tch::kind::Element;
use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

use crate::buffer::{Done, broken};

unsafe extern "C" {
    fn backend_tch_free(message: *mut c_char);
    fn backend_tch_threads() -> i64;
    fn backend_tch_run(threads: i64, job: extern "C" fn(*mut c_void), context: *mut c_void) -> *mut c_char;
    fn backend_tch_elements(x: *const C_tensor, dtype: i8, count: *mut i64) -> *mut c_void;
    fn backend_tch_strided(
        x: *const C_tensor,
        dtype: i8,
        rank: i64,
        sizes: *mut i64,
        strides: *mut i64,
    ) -> *mut c_void;
    fn backend_tch_from_memory(
        out: *mut *mut C_tensor,
        data: *mut c_void,
        sizes: *const i64,
        rank: usize,
        dtype: i8,
        release: extern "C" fn(*mut c_void),
        owner: *mut c_void,
    ) -> *mut c_char;
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
        decay: f64,
    ) -> *mut c_char;
    fn backend_tch_adam(
        w: *const C_tensor,
        g: *const C_tensor,
        m: *const C_tensor,
        v: *const C_tensor,
        largest: *const C_tensor,
        alpha: f64,
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
        decay: f64,
    ) -> *mut c_char;
    fn backend_tch_rms_prop(
        w: *const C_tensor,
        g: *const C_tensor,
        v: *const C_tensor,
        last: *const C_tensor,
        average: *const C_tensor,
        learning_rate: f64,
        rho: f64,
        momentum: f64,
        epsilon: f64,
        decay: f64,
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
    let mut out = [ptr::null_mut(); N];
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

/// A step of an optimizer on the variable `w`, from the gradient `g`, with its state; changes all but the gradient. Nobody else
/// may see them.
pub(crate) fn step(op: &Fused, w: &Tensor, g: &Tensor, state: &[&Tensor]) -> Done<()> {
    if op.states() != Some(state.len()) {
        return Err(broken(op.name(), format_args!("{} states", state.len())).into());
    }
    let state = |i: usize| state.get(i).map_or(ptr::null(), |tensor| tensor.as_ptr());
    let (w, g) = (w.as_ptr(), g.as_ptr());
    // SAFETY: the tensors outlive the call, and there are as many as the step has; those that a variant lacks are null.
    checked(unsafe {
        match *op {
            Fused::Sgd { learning_rate, decay } => {
                backend_tch_sgd(w, g, ptr::null(), learning_rate, 0.0, false, decay)
            }
            Fused::SgdMomentum { learning_rate, momentum, nesterov, decay } => {
                backend_tch_sgd(w, g, state(0), learning_rate, momentum, nesterov, decay)
            }
            Fused::Adam { alpha, beta_1, beta_2, epsilon, decay, .. } => {
                backend_tch_adam(w, g, state(0), state(1), state(2), alpha, beta_1, beta_2, epsilon, decay)
            }
            Fused::RmsProp { learning_rate, rho, momentum, epsilon, centered, decay } => {
                let last = momentum.map_or(ptr::null(), |_| state(1));
                let average = if centered { state(1 + usize::from(momentum.is_some())) } else { ptr::null() };
                let momentum = momentum.unwrap_or(0.0);
                backend_tch_rms_prop(
                    w,
                    g,
                    state(0),
                    last,
                    average,
                    learning_rate,
                    rho,
                    momentum,
                    epsilon,
                    decay,
                )
            }
            _ => return Err(broken(op.name(), "it is no step of an optimizer").into()),
        }
    })
}

/// libtorch's threads, for this project's kernels.
pub(crate) struct LibtorchThreads;

impl Threads for LibtorchThreads {
    fn count(&self) -> usize {
        // SAFETY: it only reads a number.
        unsafe { backend_tch_threads() }.try_into().unwrap_or(1)
    }

    fn run(&self, helpers: usize, job: &(dyn Fn() + Sync)) {
        struct Context<'a> {
            job: &'a (dyn Fn() + Sync),
            panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
        }
        extern "C" fn call(context: *mut c_void) {
            // SAFETY: it is the context below, which outlives the call and is only read.
            let context = unsafe { &*context.cast::<Context<'_>>() };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(context.job)) {
                *context.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        let context = Context { job, panic: Mutex::new(None) };
        let threads = self.count().min(helpers.saturating_add(1)) as i64;
        // SAFETY: the context outlives the call, which returns when all threads are done.
        let done = checked(unsafe { backend_tch_run(threads, call, (&raw const context).cast_mut().cast()) });
        let panic = context.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        if done.is_err() {
            // The threads could not be started; what they have drawn of the job is done.
            job();
        }
    }
}

/// How libtorch numbers the kinds of elements that kernels read or write.
fn dtype_of<T: Element>() -> Option<i8> {
    match T::KIND {
        Kind::Int => Some(3),
        Kind::Float => Some(6),
        Kind::Double => Some(7),
        Kind::Bool => Some(11),
        _ => None,
    }
}

/// Where the elements of a tensor are that lies in this machine's memory in one piece, and how many.
fn place<T: Element>(x: &Tensor) -> Option<(*mut T, usize)> {
    let (dtype, mut count) = (dtype_of::<T>()?, 0);
    // SAFETY: the tensor outlives the call, which writes one number.
    let start = unsafe { backend_tch_elements(x.as_ptr(), dtype, &raw mut count) };
    let start = NonNull::new(start.cast())?;
    Some((if count == 0 { NonNull::dangling() } else { start }.as_ptr(), count as usize))
}

/// The elements of a tensor that lies in this machine's memory in one piece.
pub(crate) fn elements<T: Element>(x: &Tensor) -> Option<&[T]> {
    let (start, count) = place(x)?;
    // SAFETY: the tensor holds that many elements of this type from there on, and lives as long as the slice. Who changes a
    // tensor has it to itself.
    Some(unsafe { std::slice::from_raw_parts(start, count) })
}

/// [`elements`] to change, of a tensor that its holder made or [owns](crate::Buffer::own).
pub(crate) fn elements_mut<T: Element>(x: &mut Tensor) -> Option<&mut [T]> {
    let (start, count) = place(x)?;
    // SAFETY: as above, and nobody else looks at the elements of such a tensor.
    Some(unsafe { std::slice::from_raw_parts_mut(start, count) })
}

/// Elements in this machine's memory, and how a tensor's axes walk through them.
pub(crate) struct Strided<'a, T, const RANK: usize> {
    /// From the first element to the farthest.
    pub(crate) elements: &'a [T],
    /// The dimensions, none of which is 0.
    pub(crate) sizes: [usize; RANK],
    /// The distances between neighbours along each axis; 0 where one element stands for all.
    pub(crate) strides: [usize; RANK],
}

/// The elements of a tensor of this rank in this machine's memory, if there are any.
pub(crate) fn strided<T: Element, const RANK: usize>(x: &Tensor) -> Option<Strided<'_, T, RANK>> {
    let dtype = dtype_of::<T>()?;
    let (mut sizes, mut strides) = ([0; RANK], [0; RANK]);
    let (into_sizes, into_strides) = (sizes.as_mut_ptr(), strides.as_mut_ptr());
    // SAFETY: the tensor outlives the call, which writes `RANK` numbers to both.
    let start = unsafe { backend_tch_strided(x.as_ptr(), dtype, RANK as i64, into_sizes, into_strides) };
    let start = NonNull::new(start.cast())?;
    let (sizes, strides) = (sizes.map(|n| n as usize), strides.map(|n| n as usize));
    if sizes.contains(&0) {
        return None;
    }
    let reach: usize = sizes.iter().zip(&strides).map(|(n, stride)| (n - 1) * stride).sum();
    // SAFETY: as in `elements`; libtorch's strides are not negative, so the last element is the farthest.
    let elements = unsafe { std::slice::from_raw_parts(start.as_ptr(), reach + 1) };
    Some(Strided { elements, sizes, strides })
}

/// A tensor in this machine's memory over the elements of a vector, which are not copied.
pub(crate) fn from_vec<T: Element>(mut elements: Vec<T>, sizes: &[i64]) -> Done {
    extern "C" fn release<T>(owner: *mut c_void) {
        // SAFETY: it is the box below, and libtorch calls this once.
        drop(unsafe { Box::from_raw(owner.cast::<Vec<T>>()) });
    }
    let Some(dtype) = dtype_of::<T>() else {
        return Err(broken("copy", format_args!("elements of {:?}", T::KIND)).into());
    };
    if sizes.iter().product::<i64>() != elements.len() as i64 {
        return Err(broken("copy", format_args!("{} elements for {sizes:?}", elements.len())).into());
    }
    let data = elements.as_mut_ptr();
    let owner = Box::into_raw(Box::new(elements));
    // SAFETY: moving a vector does not move its elements, which live until `release`; there are as many as the sizes say, of
    // this type.
    let made = made(|out| unsafe {
        let (sizes, rank) = (sizes.as_ptr(), sizes.len());
        backend_tch_from_memory(out, data.cast(), sizes, rank, dtype, release::<T>, owner.cast())
    });
    match made {
        Ok([tensor]) => Ok(tensor),
        Err(e) => {
            // SAFETY: there is no tensor that would release it.
            drop(unsafe { Box::from_raw(owner) });
            Err(e)
        }
    }
}
