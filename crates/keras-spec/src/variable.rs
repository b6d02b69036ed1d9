//! Variables: tensors that training changes.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard};

use smallvec::SmallVec;

use crate::contracts::{Constraint, Regularizer};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::object::Shared;
use crate::scope;
use crate::shape::Shape;
use crate::tape::{self, Origin};
use crate::tensor::{self, Tensor};

thread_local! {
    /// Values in the place of variables' own, the innermost last.
    static REPLACED: RefCell<Vec<(Variable, Tensor)>> = const { RefCell::new(Vec::new()) };
}

/// A tensor with a name that is changed in place (`keras.Variable`). Clones are handles to the same variable.
#[derive(Clone)]
pub struct Variable(Arc<Inner>);

struct Inner {
    name: String,
    path: String,
    shape: Shape,
    dtype: DType,
    created_trainable: bool,
    trainable: AtomicBool,
    regularizer: Option<Shared<dyn Regularizer>>,
    constraint: Option<Shared<dyn Constraint>>,
    origin: Origin,
    value: RwLock<Tensor>,
}

impl Variable {
    /// A variable with an initial value. Its path is the scope of the layers being built, and `name`.
    pub fn new(name: &str, value: Tensor, trainable: bool) -> Self {
        Variable::with(name, value, trainable, None, None)
    }

    pub(crate) fn with(
        name: &str,
        value: Tensor,
        trainable: bool,
        regularizer: Option<Shared<dyn Regularizer>>,
        constraint: Option<Shared<dyn Constraint>>,
    ) -> Self {
        let scope = scope::path();
        let path = if scope.is_empty() { name.to_owned() } else { format!("{scope}/{name}") };
        Variable(Arc::new(Inner {
            name: name.to_owned(),
            path,
            shape: value.shape().clone(),
            dtype: value.dtype(),
            created_trainable: trainable,
            trainable: AtomicBool::new(trainable),
            regularizer,
            constraint,
            origin: tape::leaf(),
            value: RwLock::new(value.stop_gradient()),
        }))
    }

    /// The name, `kernel`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The name with those of the layers around it, `sequential/dense/kernel`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The shape, which never changes.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The dtype, which never changes.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Whether training may change it by gradients.
    pub fn trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Whether it was trainable when it was created: freezing a layer does not change its place in files.
    pub fn was_trainable(&self) -> bool {
        self.0.created_trainable
    }

    /// Says whether training may change it by gradients.
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// The penalty on its value.
    pub fn regularizer(&self) -> Option<&Shared<dyn Regularizer>> {
        self.0.regularizer.as_ref()
    }

    /// What its value is projected to after each update.
    pub fn constraint(&self) -> Option<&Shared<dyn Constraint>> {
        self.0.constraint.as_ref()
    }

    /// The value as a layer's call sees it: cast to the layer's compute dtype, and watched if the variable is trainable and
    /// gradients are recorded.
    ///
    /// # Errors
    /// If the cast fails.
    pub fn value(&self) -> Result<Tensor> {
        let value = self.watched();
        match scope::autocast() {
            Some(dtype) if value.dtype().is_float() => value.into_dtype(dtype),
            _ => Ok(value),
        }
    }

    /// Runs `f` with a value, its history included, in the place of this variable's: a layer that changes a weight of a layer
    /// inside it before each call, and is trained through that change.
    pub fn replaced<R>(&self, value: Tensor, f: impl FnOnce() -> R) -> R {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                REPLACED.with_borrow_mut(Vec::pop);
            }
        }
        REPLACED.with_borrow_mut(|all| all.push((self.clone(), value)));
        let _restore = Restore;
        f()
    }

    /// The value in the variable's own dtype, watched as in [`value`](Variable::value): what [`crate::gradients`] takes as
    /// a source.
    pub fn watched(&self) -> Tensor {
        let replaced = |all: &Vec<(Variable, Tensor)>| {
            all.iter().rev().find(|(v, _)| Variable::same(v, self)).map(|(_, value)| value.clone())
        };
        if let Some(value) = REPLACED.with_borrow(replaced) {
            return value;
        }
        let mut value = self.get();
        let watch = scope::watches_variables() && self.trainable() && self.dtype().is_float();
        if watch {
            value.set_origin(Some(self.0.origin.clone()));
        }
        value
    }

    /// The value in the variable's own dtype, without a history.
    pub fn get(&self) -> Tensor {
        self.0.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value, cast to the variable's dtype. Does nothing while shapes are inferred.
    ///
    /// # Errors
    /// [`Error::Argument`] if the shape is another.
    pub fn assign(&self, value: &Tensor) -> Result<()> {
        if scope::is_abstract() {
            return Ok(());
        }
        let new = self.checked(value.clone())?;
        *self.0.value.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Runs an optimizer step ([`Fused::is_update`](crate::Fused::is_update)) on this variable and its state, in place
    /// where nobody else holds the values. Does nothing while shapes are inferred.
    ///
    /// # Errors
    /// If the operands do not fit the step, or the backend fails; all values are then as before.
    pub fn update(&self, op: Fused, gradient: &Tensor, state: &[Variable]) -> Result<()> {
        if scope::is_abstract() {
            return Ok(());
        }
        let all: SmallVec<[&Variable; 3]> = std::iter::once(self).chain(state).collect();
        if (1..all.len()).any(|i| all[..i].iter().any(|v| Variable::same(v, all[i]))) {
            return Err(Error::argument("state", "variables that are not the same", self.path()));
        }
        let mut values: SmallVec<[RwLockWriteGuard<'_, Tensor>; 3]> =
            all.iter().map(|v| v.0.value.write().unwrap_or_else(PoisonError::into_inner)).collect();
        let mut gradient = gradient.clone();
        let mut operands: SmallVec<[&mut Tensor; 4]> = values.iter_mut().map(|v| &mut **v).collect();
        operands.insert(1, &mut gradient);
        scope::unrecorded(|| tensor::update(op, &mut operands))
    }

    fn checked(&self, value: Tensor) -> Result<Tensor> {
        if value.shape() != self.shape() {
            return Err(Error::argument(&self.0.path, format!("shape {}", self.shape()), value.shape()));
        }
        scope::unrecorded(|| value.stop_gradient().into_dtype(self.dtype()))
    }

    /// A number that no other variable has while this one lives.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether both are the same variable.
    pub fn same(a: &Variable, b: &Variable) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({}, {}, {})", self.path(), self.shape(), self.dtype())
    }
}

/// A layer's place for a variable that exists once the layer is built.
///
/// It is `Default`, so that layers can skip it in serde; [`Weight::value`] on an unbuilt layer is an error, not a panic.
#[derive(Clone, Debug, Default)]
pub struct Weight(Arc<OnceLock<Variable>>);

impl Weight {
    /// The variable.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before the layer is built.
    pub fn variable(&self) -> Result<&Variable> {
        self.0.get().ok_or_else(|| Error::NotBuilt {
            name: "layer".to_owned(),
            action: "reading a weight".to_owned(),
        })
    }

    /// The variable, if there is one.
    pub fn get(&self) -> Option<&Variable> {
        self.0.get()
    }

    /// [`Variable::value`]
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before the layer is built.
    pub fn value(&self) -> Result<Tensor> {
        self.variable()?.value()
    }

    /// [`Variable::value`], or `None` where the layer has no such weight (`use_bias=False`).
    ///
    /// # Errors
    /// If the cast to the compute dtype fails.
    pub fn optional(&self) -> Result<Option<Tensor>> {
        self.get().map(Variable::value).transpose()
    }

    pub(crate) fn set(&self, variable: Variable) -> Result<()> {
        self.0.set(variable).map_err(|v| Error::other(format!("weight `{}` is created twice", v.path())))
    }
}
