//! How large the weights of a model may be that a file describes.

use std::cell::Cell;

thread_local! {
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs `build`, in which layers may make weights of `elements` numbers altogether: as many as the file has that they are
/// to be read from.
pub fn loading<R>(elements: usize, build: impl FnOnce() -> R) -> R {
    struct Restore(Option<usize>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _restore = Restore(LEFT.replace(Some(elements)));
    build()
}

/// Takes a weight of `elements` numbers from what is left; if that is less, how much it is.
pub(super) fn take(elements: usize) -> Result<(), usize> {
    let Some(left) = LEFT.get() else { return Ok(()) };
    let rest = left.checked_sub(elements).ok_or(left)?;
    LEFT.set(Some(rest));
    Ok(())
}
