//! Reverse-mode differentiation above all backends: what is recorded, and the walk back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::{SmallVec, smallvec};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::Op;
use crate::scope;
use crate::shape::Shape;
use crate::tensor::{Operands, Results, Tensor};
use crate::vjp;

/// Which result of which recorded operation a tensor is.
#[derive(Clone)]
pub(crate) struct Origin {
    node: Arc<Node>,
    result: usize,
}

/// A recorded operation, or a watched tensor.
pub(crate) struct Node {
    /// Greater than that of every node it depends on.
    id: u64,
    record: Option<Record>,
}

/// What the gradient of one operation needs.
pub(crate) struct Record {
    /// The operation.
    pub(crate) op: Op,
    /// Operands and results that the gradient reads.
    pub(crate) saved: Saved,
    origins: SmallVec<[Option<Origin>; 3]>,
}

/// Operands and results that a gradient reads.
pub(crate) struct Saved {
    /// The shape and dtype of each operand.
    specs: SmallVec<[(Shape, DType); 3]>,
    operands: SmallVec<[Option<Tensor>; 3]>,
    results: SmallVec<[Option<Tensor>; 1]>,
}

impl Saved {
    /// The shape and dtype of operand `i`.
    pub(crate) fn spec(&self, i: usize) -> Result<&(Shape, DType)> {
        self.specs.get(i).ok_or_else(|| Error::Gradient(format!("there is no operand {i}")))
    }

    /// Operand `i`, if the gradient table says that it is saved.
    pub(crate) fn operand(&self, i: usize) -> Result<&Tensor> {
        self.operands.get(i).and_then(Option::as_ref).ok_or_else(|| unsaved("operand", i))
    }

    /// Result `i`, if the gradient table says that it is saved.
    pub(crate) fn result(&self, i: usize) -> Result<&Tensor> {
        self.results.get(i).and_then(Option::as_ref).ok_or_else(|| unsaved("result", i))
    }
}

fn unsaved(what: &str, i: usize) -> Error {
    Error::Gradient(format!("{what} {i} is not declared as saved"))
}

/// A record before the operation has run, while its operands are still there.
pub(crate) struct Draft {
    saves: vjp::Saves,
    specs: SmallVec<[(Shape, DType); 3]>,
    operands: SmallVec<[Option<Tensor>; 3]>,
    origins: SmallVec<[Option<Origin>; 3]>,
}

impl Draft {
    pub(crate) fn new(op: &Op, operands: &Operands) -> Self {
        let origins: SmallVec<[Option<Origin>; 3]> = operands.iter().map(|t| t.origin().cloned()).collect();
        let saves = vjp::saves(op, &wanted(&origins));
        Draft {
            specs: operands.iter().map(|t| (t.shape().clone(), t.dtype())).collect(),
            operands: operands.iter().enumerate().map(|(i, t)| saves.operand(i).then(|| t.clone())).collect(),
            origins,
            saves,
        }
    }

    pub(crate) fn finish(self, op: Op, results: Results) -> Results {
        // Integers and booleans have no gradient.
        if results.iter().all(|t| !t.dtype().is_float()) {
            return results;
        }
        let kept = results.iter().enumerate().map(|(i, t)| self.saves.result(i).then(|| t.clone())).collect();
        let saved = Saved { specs: self.specs, operands: self.operands, results: kept };
        let node =
            Arc::new(Node { id: next_id(), record: Some(Record { op, saved, origins: self.origins }) });
        let attach =
            |(result, t): (usize, Tensor)| t.with_origin(Some(Origin { node: node.clone(), result }));
        results.into_iter().enumerate().map(attach).collect()
    }
}

/// Gradients are wanted with respect to operands that have a history.
fn wanted(origins: &[Option<Origin>]) -> SmallVec<[bool; 3]> {
    origins.iter().map(Option::is_some).collect()
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The origin of a watched tensor.
pub(crate) fn leaf() -> Origin {
    Origin { node: Arc::new(Node { id: next_id(), record: None }), result: 0 }
}

impl Drop for Node {
    /// Unlinks long histories one by one; the default would recurse as deep as they are long.
    fn drop(&mut self) {
        let mut pending: Vec<Arc<Node>> = Vec::new();
        let take = |record: &mut Option<Record>, pending: &mut Vec<Arc<Node>>| {
            if let Some(mut record) = record.take() {
                pending.extend(record.origins.drain(..).flatten().map(|o| o.node));
                let saved = record.saved.operands.drain(..).flatten();
                pending.extend(saved.filter_map(|t| t.origin().map(|o| o.node.clone())));
            }
        };
        take(&mut self.record, &mut pending);
        while let Some(node) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                take(&mut node.record, &mut pending);
            }
        }
    }
}

/// What [`gradients`] is asked for.
#[derive(Clone, Default)]
pub struct GradientOptions {
    /// The gradient of some later scalar with respect to each target; ones if `None`.
    pub cotangents: Option<Vec<Tensor>>,
    /// Records the computation of the gradients, so that they can be differentiated again.
    pub create_graph: bool,
}

/// The gradients of the sum of `targets` with respect to `sources`, which must be watched ([`Tensor::watch`], or a
/// variable's value inside [`scope::recorded`]). `None` where a target does not depend on a source.
///
/// Conventions at kinks are those of JAX: `relu'(0) = 0`, `abs'(0) = 1`; equal maxima share the gradient.
///
/// # Errors
/// [`Error::Gradient`] if a source is not watched or an operation on the way has no gradient.
///
/// ```no_run
/// use keras_spec::{gradients, Tensor};
///
/// let x = Tensor::new([2], vec![1.0f32, 3.0])?.watch();
/// let y = (&x * &x)?.sum(&[], false)?;
/// let dx = gradients(&[&y], &[&x])?;
/// assert_eq!(dx[0].as_ref().unwrap().to_vec::<f32>()?, [2.0, 6.0]);
/// # Ok::<(), keras_spec::Error>(())
/// ```
pub fn gradients(targets: &[&Tensor], sources: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    gradients_with(targets, sources, &GradientOptions::default())
}

/// [`gradients`] with cotangents, or to be differentiated again.
///
/// # Errors
/// As [`gradients`]; and if a cotangent has another shape or dtype than its target.
pub fn gradients_with(
    targets: &[&Tensor],
    sources: &[&Tensor],
    options: &GradientOptions,
) -> Result<Vec<Option<Tensor>>> {
    let walk = || Walk::run(targets, sources, options);
    if options.create_graph {
        // Only compositions have gradients of their own.
        scope::decomposed(walk)
    } else {
        scope::unrecorded(walk)
    }
}

type Cotangents = SmallVec<[Option<Tensor>; 1]>;

struct Walk {
    /// Nodes to visit, by id: dependents come after what they depend on.
    pending: BTreeMap<u64, Arc<Node>>,
    cotangents: HashMap<u64, Cotangents>,
}

impl Walk {
    fn run(
        targets: &[&Tensor],
        sources: &[&Tensor],
        options: &GradientOptions,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut found: HashMap<(u64, usize), Option<Tensor>> = HashMap::new();
        let mut keys = Vec::with_capacity(sources.len());
        for (i, s) in sources.iter().enumerate() {
            let origin = s.origin().ok_or_else(|| Error::Gradient(format!("source {i} is not watched")))?;
            let key = (origin.node.id, origin.result);
            found.insert(key, None);
            keys.push(key);
        }
        if let Some(c) = options.cotangents.as_ref().filter(|c| c.len() != targets.len()) {
            let expected = format!("one for each of {} targets", targets.len());
            return Err(Error::argument("cotangents", expected, c.len()));
        }
        let oldest = keys.iter().map(|k| k.0).min().unwrap_or(u64::MAX);
        let mut walk = Walk { pending: BTreeMap::new(), cotangents: HashMap::new() };
        for (i, t) in targets.iter().enumerate() {
            let seed = match options.cotangents.as_ref().map(|c| c.get(i)) {
                None => Tensor::full(t.shape().clone(), t.dtype(), 1.0, t.device())?,
                Some(Some(c)) if c.shape() == t.shape() && c.dtype() == t.dtype() => c.clone(),
                Some(_) => {
                    let expected = format!("a tensor of shape {} and dtype {}", t.shape(), t.dtype());
                    return Err(Error::argument("cotangents", expected, format!("none such for target {i}")));
                }
            };
            if let Some(origin) = t.origin() {
                walk.add(origin, seed)?;
            }
        }
        while let Some((id, node)) = walk.pending.pop_last() {
            let cotangents = walk.cotangents.remove(&id).unwrap_or_default();
            for (result, c) in cotangents.iter().enumerate() {
                if let (Some(slot), Some(c)) = (found.get_mut(&(id, result)), c) {
                    *slot = Some(c.clone());
                }
            }
            // What is older than every source cannot lead to one.
            let Some(record) = node.record.as_ref().filter(|_| id > oldest) else { continue };
            let saved = record.saved.reattached(&node, options.create_graph);
            let grads = vjp::vjp(
                &record.op,
                saved.as_ref().unwrap_or(&record.saved),
                cotangents,
                &wanted(&record.origins),
            )
            .map_err(|e| e.context(format!("gradient of `{}`", record.op.name())))?;
            for (origin, grad) in record.origins.iter().zip(grads) {
                if let (Some(origin), Some(grad)) = (origin, grad) {
                    walk.add(origin, grad)?;
                }
            }
        }
        Ok(keys.iter().map(|k| found.get(k).cloned().flatten()).collect())
    }

    fn add(&mut self, origin: &Origin, grad: Tensor) -> Result<()> {
        let id = origin.node.id;
        self.pending.entry(id).or_insert_with(|| origin.node.clone());
        let slots = self.cotangents.entry(id).or_default();
        if slots.len() <= origin.result {
            slots.resize(origin.result + 1, None);
        }
        slots[origin.result] = Some(match slots[origin.result].take() {
            Some(sum) => (sum + grad)?,
            None => grad,
        });
        Ok(())
    }
}

impl Saved {
    /// The same values with the results' history, which is not kept in the record because it would be a cycle.
    fn reattached(&self, node: &Arc<Node>, create_graph: bool) -> Option<Saved> {
        let attach = |(result, t): (usize, &Option<Tensor>)| {
            let origin = Origin { node: node.clone(), result };
            t.as_ref().map(|t| t.clone().with_origin(Some(origin)))
        };
        create_graph.then(|| Saved {
            specs: self.specs.clone(),
            operands: self.operands.clone(),
            results: self.results.iter().enumerate().map(attach).collect(),
        })
    }
}

/// An empty list of gradients for `n` operands.
pub(crate) fn no_gradients(n: usize) -> SmallVec<[Option<Tensor>; 3]> {
    smallvec![None; n]
}
