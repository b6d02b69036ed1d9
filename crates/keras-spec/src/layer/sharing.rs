//! One layer at several places of a file: Keras's `shared_object_id`.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::layer::LayerRef;

thread_local! {
    static READ: RefCell<Option<HashMap<i64, LayerRef>>> = const { RefCell::new(None) };
    static WRITTEN: RefCell<Option<HashMap<usize, Written>>> = const { RefCell::new(None) };
}

struct Written {
    /// Kept, so that no other layer gets its number.
    _layer: LayerRef,
    /// How many layers were met before.
    before: usize,
    times: usize,
    id: Option<i64>,
}

/// Runs `read`, in which [`LayerRef::from_value`] makes one layer of all forms that have one `shared_object_id`.
pub fn reading_shared<R>(read: impl FnOnce() -> R) -> R {
    let outer = READ.replace(Some(HashMap::new()));
    let result = read();
    READ.set(outer);
    result
}

/// Runs `write` so that [`LayerRef::serialize`] gives a `shared_object_id` to each layer that it meets more than once; for
/// that `write` may run twice.
pub fn writing_shared<R>(mut write: impl FnMut() -> R) -> R {
    let outer = WRITTEN.replace(Some(HashMap::new()));
    let mut result = write();
    let mut met = WRITTEN.take().unwrap_or_default();
    met.retain(|_, w| w.times > 1);
    if !met.is_empty() {
        let mut shared: Vec<&mut Written> = met.values_mut().collect();
        shared.sort_by_key(|w| w.before);
        shared.into_iter().zip(1..).for_each(|(w, id)| w.id = Some(id));
        WRITTEN.set(Some(met));
        result = write();
    }
    WRITTEN.set(outer);
    result
}

pub(super) fn known(id: Option<i64>) -> Option<LayerRef> {
    READ.with_borrow(|read| read.as_ref()?.get(&id?).cloned())
}

pub(super) fn remember(id: Option<i64>, layer: &LayerRef) {
    READ.with_borrow_mut(|read| {
        if let (Some(read), Some(id)) = (read, id) {
            read.insert(id, layer.clone());
        }
    });
}

/// Counts a layer, and gives its number if it has one.
pub(super) fn met(layer: &LayerRef) -> Option<i64> {
    WRITTEN.with_borrow_mut(|written| {
        let written = written.as_mut()?;
        let before = written.len();
        let entry = written.entry(layer.id());
        let w = entry.or_insert_with(|| Written { _layer: layer.clone(), before, times: 0, id: None });
        w.times += 1;
        w.id
    })
}
