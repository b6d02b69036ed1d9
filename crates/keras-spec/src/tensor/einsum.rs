//! `einsum`: sums of products of tensors whose axes are named by letters.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A tensor and a letter for each of its axes.
#[derive(Clone)]
struct Named {
    tensor: Tensor,
    names: Vec<char>,
}

impl Named {
    fn length(&self, name: char) -> Option<usize> {
        self.names.iter().position(|&n| n == name).map(|i| self.tensor.shape()[i])
    }

    /// Sums over the axes that nobody asks for.
    fn keep(self, wanted: impl Fn(char) -> bool) -> Result<Self> {
        let dropped = self.names.iter().enumerate().filter(|&(_, &n)| !wanted(n));
        let axes: Vec<isize> = dropped.map(|(i, _)| i as isize).collect();
        if axes.is_empty() {
            return Ok(self);
        }
        let names = self.names.iter().copied().filter(|&n| wanted(n)).collect();
        Ok(Named { tensor: self.tensor.sum(&axes, false)?, names })
    }

    /// The axes in another order.
    fn ordered(&self, names: &[char]) -> Result<Tensor> {
        let place = |name: &char| self.names.iter().position(|n| n == name);
        let axes: Option<Vec<usize>> = names.iter().map(place).collect();
        self.tensor.permute(&axes.ok_or_else(|| Error::other("einsum: an axis is missing"))?)
    }

    /// Repeats axes of length 1 that are longer in `other`.
    fn broadcast(self, other: &Named) -> Result<Self> {
        let mut shape = self.tensor.shape().clone();
        for (i, &name) in self.names.iter().enumerate() {
            if let (1, Some(length)) = (shape[i], other.length(name)) {
                shape.dims_mut()[i] = length;
            }
        }
        Ok(Named { tensor: self.tensor.broadcast_to(shape)?, names: self.names })
    }
}

/// The letters of the operands and of the result, with `...` spelled out in letters of its own.
struct Equation {
    operands: Vec<Vec<char>>,
    result: Vec<char>,
}

const ELLIPSIS: &str = "...";

impl Equation {
    fn parse(text: &str, operands: &[Tensor]) -> Result<Self> {
        let wrong = |expected: &str| Error::argument("equation", expected, format!("{text:?}"));
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match plain.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (plain.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != operands.len() {
            return Err(wrong(&format!("letters for {} operands", operands.len())));
        }
        let mut longest = 0;
        let mut named = Vec::with_capacity(terms.len());
        for (term, operand) in terms.iter().zip(operands) {
            let letters = term.replacen(ELLIPSIS, "", 1).chars().count();
            let extra = operand.rank().checked_sub(letters);
            let extra = extra.filter(|&n| n == 0 || term.contains(ELLIPSIS));
            let extra = extra.ok_or_else(|| wrong(&format!("letters for shape {}", operand.shape())))?;
            longest = longest.max(extra);
            named.push(spelled(term, extra).ok_or_else(|| wrong("letters, each once for an operand"))?);
        }
        let result = match right {
            Some(term) => {
                let names = spelled(term, longest).ok_or_else(|| wrong("letters, each once"))?;
                if !names.iter().all(|n| named.iter().any(|operand| operand.contains(n))) {
                    return Err(wrong("a result with letters of the operands"));
                }
                names
            }
            None => {
                let all: Vec<char> = named.iter().flatten().copied().collect();
                let once = |c: &char| all.iter().filter(|&d| d == c).count() == 1;
                let mut names: Vec<char> =
                    all.iter().copied().filter(|c| c.is_alphabetic() && once(c)).collect();
                names.sort_unstable();
                spelled(ELLIPSIS, longest).into_iter().flatten().chain(names).collect()
            }
        };
        Ok(Equation { operands: named, result })
    }
}

/// The letters of a term; `...` is `extra` private characters, the same for all terms counted from the right.
fn spelled(term: &str, extra: usize) -> Option<Vec<char>> {
    let axis = |i: usize| char::from_u32(0xE000 + u32::try_from(i).ok()?);
    let hidden: Option<Vec<char>> = (0..extra).rev().map(axis).collect();
    let (before, after) = term.split_once(ELLIPSIS).unwrap_or((term, ""));
    let hidden = if term.contains(ELLIPSIS) { hidden? } else { Vec::new() };
    let names: Vec<char> = before.chars().chain(hidden).chain(after.chars()).collect();
    let letters = before.chars().chain(after.chars()).all(|c| c.is_ascii_alphabetic());
    let different = names.iter().enumerate().all(|(i, n)| !names[..i].contains(n));
    (letters && different).then_some(names)
}

/// The sum of products over all axes that are not `wanted`: one matrix product.
fn product(a: Named, b: Named, wanted: impl Fn(char) -> bool) -> Result<Named> {
    let a = a.broadcast(&b)?;
    let b = b.broadcast(&a)?;
    let (in_a, in_b) = (a.names.clone(), b.names.clone());
    let a = a.keep(|n| in_b.contains(&n) || wanted(n))?;
    let b = b.keep(|n| in_a.contains(&n) || wanted(n))?;
    let both = |n: &char| in_a.contains(n) && in_b.contains(n);
    let pick = |names: &[char], which: &dyn Fn(&char) -> bool| -> Vec<char> {
        names.iter().copied().filter(|n| which(n)).collect()
    };
    let batch = pick(&a.names, &|n| both(n) && wanted(*n));
    let inner = pick(&a.names, &|n| both(n) && !wanted(*n));
    let rows = pick(&a.names, &|n| !both(n));
    let columns = pick(&b.names, &|n| !both(n));
    let size = |x: &Named, names: &[char]| -> usize { names.iter().filter_map(|&n| x.length(n)).product() };
    if let Some(name) = batch.iter().chain(&inner).find(|&&n| a.length(n) != b.length(n)) {
        let why = format!("the lengths of axis `{name}` differ");
        return Err(Error::shape("einsum", why, [a.tensor.shape(), b.tensor.shape()]));
    }
    let left = a.ordered(&[&batch[..], &rows, &inner].concat())?;
    let left = left.reshape([size(&a, &batch), size(&a, &rows), size(&a, &inner)])?;
    let right = b.ordered(&[&batch[..], &inner, &columns].concat())?;
    let right = right.reshape([size(&b, &batch), size(&b, &inner), size(&b, &columns)])?;
    let lengths = batch.iter().chain(&rows).filter_map(|&n| a.length(n));
    let shape: Vec<usize> = lengths.chain(columns.iter().filter_map(|&n| b.length(n))).collect();
    Ok(Named { tensor: left.matmul(&right)?.reshape(shape)?, names: [batch, rows, columns].concat() })
}

impl Tensor {
    /// Sums products of elements over axes named by letters (`keras.ops.einsum`): `"bqhd,bkhd->bhqk"` multiplies two tensors
    /// and sums over `d`. `...` stands for any further axes; without `->` the result has the letters that occur once, in
    /// alphabetical order. A letter may not occur twice in one operand.
    ///
    /// # Errors
    /// [`Error::Argument`] if the equation is none or does not fit the operands, [`Error::Shape`] if lengths differ.
    pub fn einsum(equation: &str, operands: &[Tensor]) -> Result<Tensor> {
        let parsed = Equation::parse(equation, operands)?;
        let terms = operands.iter().cloned().zip(parsed.operands);
        let mut terms = terms.map(|(tensor, names)| Named { tensor, names }).collect::<Vec<_>>().into_iter();
        let Some(mut result) = terms.next() else {
            return Err(Error::argument("equation", "at least one operand", format!("{equation:?}")));
        };
        while let Some(next) = terms.next() {
            let later: Vec<char> = terms.as_slice().iter().flat_map(|t| t.names.clone()).collect();
            result = product(result, next, |n| later.contains(&n) || parsed.result.contains(&n))?;
        }
        result.keep(|n| parsed.result.contains(&n))?.ordered(&parsed.result)
    }
}
