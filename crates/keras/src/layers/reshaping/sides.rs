use keras_spec::Result;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Amounts at both ends of `N` spatial axes: `[[top, bottom], [left, right]]` for images.
///
/// One number stands for all ends, a number in the place of a pair for both ends of an axis. Over one axis, files have the
/// pair alone, and two numbers are its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides<const N: usize>(pub [[usize; 2]; N]);

/// Amounts before and after a sequence.
pub type Sides1D = Sides<1>;

/// Amounts at the four sides of an image.
pub type Sides2D = Sides<2>;

/// Amounts at the six sides of a volume.
pub type Sides3D = Sides<3>;

impl<const N: usize> From<usize> for Sides<N> {
    fn from(all: usize) -> Self {
        Sides([[all; 2]; N])
    }
}

impl<const N: usize> From<[[usize; 2]; N]> for Sides<N> {
    fn from(sides: [[usize; 2]; N]) -> Self {
        Sides(sides)
    }
}

impl From<[usize; 2]> for Sides1D {
    fn from(ends: [usize; 2]) -> Self {
        Sides([ends])
    }
}

impl From<[usize; 2]> for Sides2D {
    fn from(both: [usize; 2]) -> Self {
        Sides(both.map(|n| [n; 2]))
    }
}

impl From<[usize; 3]> for Sides3D {
    fn from(both: [usize; 3]) -> Self {
        Sides(both.map(|n| [n; 2]))
    }
}

impl<const N: usize> Serialize for Sides<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [ends] => ends.serialize(s),
            sides => sides.serialize(s),
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Sides<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        let sides = match &value {
            Value::Array(_) if N == 1 => ends(&value).map(|ends| [ends; N]),
            Value::Array(list) => {
                list.iter().map(ends).collect::<Option<Vec<_>>>().and_then(|l| l.try_into().ok())
            }
            all => ends(all).map(|ends| [ends; N]),
        };
        sides.map(Sides).ok_or_else(|| {
            let several = if N == 1 { "two integers".to_owned() } else { format!("{N} integers or pairs") };
            serde::de::Error::custom(format!(
                "expected an integer or {several}, none negative, found {value}"
            ))
        })
    }
}

/// Two numbers, or one for both.
fn ends(value: &Value) -> Option<[usize; 2]> {
    let amount = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    match value {
        Value::Array(list) => match list.as_slice() {
            [a, b] => Some([amount(a)?, amount(b)?]),
            _ => None,
        },
        both => amount(both).map(|n| [n; 2]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<const N: usize>(value: Value) -> Option<[[usize; 2]; N]> {
        serde_json::from_value(value).ok().map(|Sides(sides)| sides)
    }

    #[test]
    fn numbers_stand_for_both_ends() {
        assert_eq!(read(json!(2)), Some([[2, 2]]));
        assert_eq!(read(json!([1, 2])), Some([[1, 2]]));
        assert_eq!(read(json!([1, [0, 3]])), Some([[1, 1], [0, 3]]));
        assert_eq!(read(json!([1, 2, 3])), Some([[1, 1], [2, 2], [3, 3]]));
        for wrong in [json!([1]), json!([[1, 2]]), json!(-1), json!([1, -2]), json!("1"), json!(null)] {
            assert_eq!(read::<1>(wrong.clone()), None, "{wrong}");
        }
        assert_eq!(read::<3>(json!([1, 2])), None);
        assert_eq!(read::<2>(json!([[1, 2, 3], 1])), None);
    }

    #[test]
    fn one_axis_is_written_without_a_list_around_it() {
        assert_eq!(json!(Sides1D::from([1, 2])), json!([1, 2]));
        assert_eq!(json!(Sides2D::from([1, 2])), json!([[1, 1], [2, 2]]));
    }
}
