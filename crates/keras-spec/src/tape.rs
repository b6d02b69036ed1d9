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
use crate::tensor::{Operands, Tensor};
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
}

/// Operands and results that a gradient reads.
pub(crate) struct Saved {
    which: vjp::Saves,
    /// Those that are not saved are without elements.
    operands: Operands,
    results: SmallVec<[Option<Tensor>; 1]>,
}

impl Saved {
    /// The shape and dtype of operand `i`.
    pub(crate) fn spec(&self, i: usize) -> Result<(&Shape, DType)> {
        let operand = self.operands.get(i).map(|t| (t.shape(), t.dtype()));
        operand.ok_or_else(|| Error::Gradient(format!("there is no operand {i}")))
    }

    /// Operand `i`, if the gradient table says that it is saved.
    pub(crate) fn operand(&self, i: usize) -> Result<&Tensor> {
        self.operands.get(i).filter(|_| self.which.operand(i)).ok_or_else(|| unsaved("operand", i))
    }

    /// Result `i`, if the gradient table says that it is saved.
    pub(crate) fn result(&self, i: usize) -> Result<&Tensor> {
        self.results.get(i).and_then(Option::as_ref).ok_or_else(|| unsaved("result", i))
    }

    fn wanted(&self) -> SmallVec<[bool; 3]> {
        wanted(&self.operands)
    }
}

fn unsaved(what: &str, i: usize) -> Error {
    Error::Gradient(format!("{what} {i} is not declared as saved"))
}

/// A record before the operation has run, while its operands are still there.
pub(crate) struct Draft {
    which: vjp::Saves,
    operands: Operands,
}

impl Draft {
    /// A record of what is read for the gradient with respect to those operands that `saves` is told are wanted.
    pub(crate) fn new(operands: &Operands, saves: impl FnOnce(&[bool]) -> vjp::Saves) -> Self {
        let which = saves(&wanted(operands));
        let mut kept = Operands::new();
        for (i, t) in operands.iter().enumerate() {
            kept.push(if which.operand(i) { t.clone() } else { t.without_elements() });
        }
        Draft { which, operands: kept }
    }

    pub(crate) fn finish(self, op: Op, results: &mut [Tensor]) {
        // Integers and booleans have no gradient.
        if results.iter().all(|t| !t.dtype().is_float()) {
            return;
        }
        let Draft { which, operands } = self;
        let kept = results.iter().enumerate().map(|(i, t)| which.result(i).then(|| t.clone())).collect();
        let saved = Saved { which, operands, results: kept };
        let node = Arc::new(Node { id: next_id(), record: Some(Record { op, saved }) });
        for (result, t) in results.iter_mut().enumerate() {
            t.set_origin(Some(Origin { node: node.clone(), result }));
        }
    }
}

/// Gradients are wanted with respect to operands that have a history.
fn wanted(operands: &Operands) -> SmallVec<[bool; 3]> {
    operands.iter().map(Tensor::is_watched).collect()
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
                let operands = record.saved.operands.iter_mut();
                pending.extend(operands.filter_map(|t| t.take_origin()).map(|o| o.node));
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
                &record.saved.wanted(),
            )
            .map_err(|e| e.context(format!("gradient of `{}`", record.op.name())))?;
            for (operand, grad) in record.saved.operands.iter().zip(grads) {
                if let (Some(origin), Some(grad)) = (operand.origin(), grad) {
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
            t.clone().map(|mut t| {
                t.set_origin(Some(origin));
                t
            })
        };
        create_graph.then(|| Saved {
            which: self.which,
            operands: self.operands.clone(),
            results: self.results.iter().enumerate().map(attach).collect(),
        })
    }
}

/// An empty list of gradients for `n` operands.
pub(crate) fn no_gradients(n: usize) -> SmallVec<[Option<Tensor>; 3]> {
    smallvec![None; n]
}
