//! Weights of a model that a file describes: how large they may be, and what they are until they are read.

use std::cell::Cell;

#[derive(Clone, Copy)]
struct Loading {
    /// How many elements weights may still take.
    left: usize,
    replaced: bool,
}

thread_local! {
    static LOADING: Cell<Option<Loading>> = const { Cell::new(None) };
}

/// Runs `build`, in which layers may make weights of `elements` numbers altogether: as many as the file has that they are
/// to be read from.
///
/// If all of them are `replaced` by what is read, they are not initialised, which takes longer than reading them: their
/// initializers draw seeds as ever, and they are zeros that take no memory.
pub fn loading<R>(elements: usize, replaced: bool, build: impl FnOnce() -> R) -> R {
    struct Restore(Option<Loading>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LOADING.set(self.0);
        }
    }
    let _restore = Restore(LOADING.replace(Some(Loading { left: elements, replaced })));
    build()
}

/// Takes a weight of `elements` numbers from what is left; if that is less, how much it is.
pub(super) fn take(elements: usize) -> Result<(), usize> {
    let Some(loading) = LOADING.get() else { return Ok(()) };
    let left = loading.left.checked_sub(elements).ok_or(loading.left)?;
    LOADING.set(Some(Loading { left, ..loading }));
    Ok(())
}

/// Whether a weight's first value is replaced before anybody sees it.
pub(super) fn is_replaced() -> bool {
    LOADING.get().is_some_and(|loading| loading.replaced)
}
