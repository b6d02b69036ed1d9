//! Memory that kernels write for the first time.
//!
//! A kernel that is given a new vector full of zeros finds it outside of the cache, since somebody else wrote the zeros before.
//! An [`Output`] is cut into pieces, and each of them is set to zeros when its turn comes.
//!
//! ```
//! use keras_kernels::{output, softmax::softmax};
//! let x = [1.0f32, 1.0, 3.0, 3.0];
//! let y = output::collect(4, |y| softmax(&x, [2, 2, 1], y))?;
//! assert_eq!(y, [0.5; 4]);
//! let mut again = [0.0; 4];
//! softmax(&x, [2, 2, 1], &mut again)?;
//! assert_eq!(again, [0.5; 4]);
//! # Ok::<(), keras_kernels::Error>(())
//! ```

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a kernel writes: elements that are there (a slice, vector or array becomes one by `into`), or new memory ([`collect`]).
#[derive(Debug)]
pub struct Output<'a, T> {
    memory: &'a mut [MaybeUninit<T>],
    /// How many elements of the whole have been set; `None` if all are.
    set: Option<&'a AtomicUsize>,
}

impl<'a, T> From<&'a mut [T]> for Output<'a, T> {
    fn from(slice: &'a mut [T]) -> Self {
        // SAFETY: `MaybeUninit<T>` has the layout of `T`; nothing here writes anything but elements.
        Self { memory: unsafe { &mut *(std::ptr::from_mut(slice) as *mut [MaybeUninit<T>]) }, set: None }
    }
}

impl<'a, T> From<&'a mut Vec<T>> for Output<'a, T> {
    fn from(vector: &'a mut Vec<T>) -> Self {
        vector.as_mut_slice().into()
    }
}

impl<'a, T, const N: usize> From<&'a mut [T; N]> for Output<'a, T> {
    fn from(array: &'a mut [T; N]) -> Self {
        array.as_mut_slice().into()
    }
}

impl<'a, T> Output<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Pieces of `size` elements, which is not 0; the last may be shorter.
    pub fn pieces(self, size: usize) -> impl ExactSizeIterator<Item = Output<'a, T>> + use<'a, T> {
        let Self { memory, set } = self;
        memory.chunks_mut(size).map(move |memory| Output { memory, set })
    }
}

impl<'a, T: Copy + Default> Output<'a, T> {
    /// The elements: what they were, or defaults.
    pub fn get(self) -> &'a mut [T] {
        if let Some(set) = self.set {
            self.memory.fill(MaybeUninit::new(T::default()));
            set.fetch_add(self.memory.len(), Ordering::Relaxed);
        }
        // SAFETY: the elements were set above or before, and `MaybeUninit<T>` has the layout of `T`.
        unsafe { &mut *(std::ptr::from_mut(self.memory) as *mut [T]) }
    }

    /// The elements, after those of `from` were copied there.
    ///
    /// # Panics
    /// If `from` is of another length.
    pub fn copied(self, from: &[T]) -> &'a mut [T] {
        assert_eq!(self.memory.len(), from.len(), "as many elements");
        for (to, &from) in self.memory.iter_mut().zip(from) {
            to.write(from);
        }
        if let Some(set) = self.set {
            set.fetch_add(self.memory.len(), Ordering::Relaxed);
        }
        // SAFETY: all elements were written above, and `MaybeUninit<T>` has the layout of `T`.
        unsafe { &mut *(std::ptr::from_mut(self.memory) as *mut [T]) }
    }
}

/// A vector of `len` elements that `write` writes.
///
/// # Errors
/// Those of `write`.
///
/// # Panics
/// If `write` leaves out a piece.
pub fn collect<T: Copy + Default, E>(
    len: usize,
    write: impl FnOnce(Output<T>) -> Result<(), E>,
) -> Result<Vec<T>, E> {
    let mut all = Vec::with_capacity(len);
    let set = AtomicUsize::new(0);
    write(Output { memory: &mut all.spare_capacity_mut()[..len], set: Some(&set) })?;
    assert_eq!(set.into_inner(), len, "a kernel has written a part of its output");
    // SAFETY: there is capacity for `len` elements, and as many have been set: pieces do not overlap, and each is set once, as
    // `get` consumes it.
    unsafe { all.set_len(len) };
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_set_and_counted() {
        let write = |out: Output<u8>| {
            assert_eq!((out.len(), out.is_empty()), (10, false));
            out.pieces(4).zip(1..).for_each(|(piece, i)| piece.get()[0] = i);
            Ok::<_, ()>(())
        };
        assert_eq!(collect(10, write), Ok(vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0]));
        assert_eq!(collect::<u8, _>(0, |_| Ok::<_, ()>(())), Ok(vec![]));
        assert_eq!(collect::<u8, _>(3, |_| Err("no")), Err("no"));
    }

    #[test]
    fn pieces_are_copies() {
        let write = |out: Output<u8>| {
            out.pieces(2).zip([1, 2, 3].chunks(2)).for_each(|(piece, from)| piece.copied(from)[0] *= 10);
            Ok::<_, ()>(())
        };
        assert_eq!(collect(3, write), Ok(vec![10, 2, 30]));
        let mut all = [7];
        assert_eq!(Output::from(&mut all).copied(&[8]), [8]);
    }

    #[test]
    #[should_panic(expected = "as many elements")]
    fn a_copy_of_another_length_is_found() {
        Output::from(&mut [0, 0]).copied(&[1]);
    }

    #[test]
    fn elements_that_are_there_stay() {
        let mut all = [1, 2, 3];
        Output::from(&mut all).pieces(2).for_each(|piece| piece.get()[0] *= 10);
        assert_eq!(all, [10, 2, 30]);
    }

    #[test]
    #[should_panic(expected = "a part of its output")]
    fn pieces_that_are_left_out_are_found() {
        let write = |out: Output<u8>| {
            out.pieces(4).skip(1).for_each(|piece| piece.get()[0] = 1);
            Ok::<_, ()>(())
        };
        let _ = collect(10, write);
    }
}
