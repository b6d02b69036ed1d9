//! One layer at several places of a file: Keras's `shared_object_id`.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::layer::LayerRef;

thread_local! {
    static READ: RefCell<Option<HashMap<i64, LayerRef>>> = const { RefCell::new(None) };
    static WRITTEN: RefCell<Option<Vec<Written>>> = const { RefCell::new(None) };
}

struct Written {
    layer: LayerRef,
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
    let outer = WRITTEN.replace(Some(Vec::new()));
    let mut result = write();
    let mut met = WRITTEN.take().unwrap_or_default();
    met.retain(|w| w.times > 1);
    if !met.is_empty() {
        met.iter_mut().zip(1..).for_each(|(w, id)| w.id = Some(id));
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
        match written.iter_mut().find(|w| LayerRef::same(&w.layer, layer)) {
            Some(w) => {
                w.times += 1;
                w.id
            }
            None => {
                written.push(Written { layer: layer.clone(), times: 1, id: None });
                None
            }
        }
    })
}
