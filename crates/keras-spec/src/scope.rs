//! Per-thread modes: whether operations are recorded, composed, or run on shapes only.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::dtype::DType;
use crate::tensor::Tensor;

thread_local! {
    static FUSED: RefCell<Option<BTreeSet<&'static str>>> = const { RefCell::new(None) };
    static MODE: Cell<Mode> = const { Cell::new(Mode::NORMAL) };
    static PATH: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The modes of a thread at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    recording: u32,
    suspended: bool,
    decompose: bool,
    shapes: bool,
    autocast: Option<DType>,
}

impl Mode {
    const NORMAL: Mode =
        Mode { recording: 0, suspended: false, decompose: false, shapes: false, autocast: None };

    /// Whether an operation on `operands` is recorded.
    pub(crate) fn drafts(self, operands: &[Tensor]) -> bool {
        !self.suspended && operands.iter().any(Tensor::is_watched)
    }

    /// [`decomposes`]
    pub(crate) fn decomposes(self) -> bool {
        self.decompose
    }

    /// [`is_abstract`]
    pub(crate) fn is_abstract(self) -> bool {
        self.shapes
    }
}

/// The modes of this thread.
pub(crate) fn mode() -> Mode {
    MODE.get()
}

/// Restores the mode when dropped, also when a closure panics.
struct Restore(Mode);

impl Drop for Restore {
    fn drop(&mut self) {
        MODE.set(self.0);
    }
}

fn with<R>(change: impl FnOnce(&mut Mode), run: impl FnOnce() -> R) -> R {
    let before = MODE.get();
    let _restore = Restore(before);
    let mut mode = before;
    change(&mut mode);
    MODE.set(mode);
    run()
}

/// Runs `f` with trainable variables watched: their values begin a history, so that [`crate::gradients`] can be asked of
/// what `f` computes.
pub fn recorded<R>(f: impl FnOnce() -> R) -> R {
    with(
        |m| {
            m.recording += 1;
            m.suspended = false;
        },
        f,
    )
}

/// Runs `f` without recording anything.
pub fn unrecorded<R>(f: impl FnOnce() -> R) -> R {
    with(|m| m.suspended = true, f)
}

/// Runs `f` with every fused operation replaced by its composition of required ones: the reference that overrides are
/// tested against, and the form in which second derivatives exist.
pub fn decomposed<R>(f: impl FnOnce() -> R) -> R {
    with(|m| m.decompose = true, f)
}

/// Runs `f` on shapes and dtypes only: no backend is called, variables and seeds keep their state, tensors have no
/// elements.
pub fn abstractly<R>(f: impl FnOnce() -> R) -> R {
    with(
        |m| {
            m.shapes = true;
            m.suspended = true;
        },
        f,
    )
}

/// Runs `f` as if outside [`abstractly`] and [`recorded`]: weights that it creates are real.
pub fn concretely<R>(f: impl FnOnce() -> R) -> R {
    with(|m| *m = Mode { suspended: true, ..Mode::NORMAL }, f)
}

/// Whether operations on watched tensors are recorded.
pub fn records() -> bool {
    !mode().suspended
}

/// Whether trainable variables give watched values: inside [`recorded`].
pub fn watches_variables() -> bool {
    let m = MODE.get();
    m.recording > 0 && !m.suspended
}

/// Whether this is inside [`decomposed`].
pub fn decomposes() -> bool {
    mode().decomposes()
}

/// Whether this is inside [`abstractly`].
pub fn is_abstract() -> bool {
    mode().is_abstract()
}

/// Runs `f` with float variables read as `dtype` (Keras's `AutocastScope`).
pub fn autocasting<R>(dtype: Option<DType>, f: impl FnOnce() -> R) -> R {
    with(|m| m.autocast = dtype, f)
}

/// The dtype that float variables are read as.
pub fn autocast() -> Option<DType> {
    MODE.get().autocast
}

/// Runs `f`; gives with its result the names of the fused operations that backends did of their own on this thread meanwhile.
pub fn noting_fused<R>(f: impl FnOnce() -> R) -> (R, BTreeSet<&'static str>) {
    let before = FUSED.replace(Some(BTreeSet::new()));
    let result = f();
    let noted = FUSED.replace(before).unwrap_or_default();
    (result, noted)
}

/// For [`noting_fused`].
pub(crate) fn note_fused(op: &'static str) {
    FUSED.with_borrow_mut(|noted| noted.as_mut().map(|names| names.insert(op)));
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        PATH.with_borrow_mut(|p| p.pop());
    }
}

/// Runs `f` with `name` added to the path of variables that are created (Keras's `name_scope`).
pub fn named<R>(name: &str, f: impl FnOnce() -> R) -> R {
    PATH.with_borrow_mut(|p| p.push(name.to_owned()));
    let _leave = Leave;
    f()
}

/// The names around variables that are created now, joined by `/`.
pub fn path() -> String {
    PATH.with_borrow(|p| p.join("/"))
}
