//! Against what the real Keras draws on JAX (`spec/generate/random_numbers.py`).

use half::{bf16, f16};
use serde_json::Value;

use super::distributions::*;
use super::threefry::{Key, RandomBits, random_bits};
use super::{Seed, SeedGenerator, draw_seed, global_permutation, make_default_seed, set_random_seed};

fn cases(function: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("../../tests/data/random.json")).unwrap();
    let all = golden["cases"].as_array().unwrap();
    let chosen: Vec<Value> = all.iter().filter(|case| case["function"] == function).cloned().collect();
    assert!(chosen.len() >= 4, "{function}: {} cases", chosen.len());
    chosen
}

fn integers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    integers(value).into_iter().map(|n| n as usize).collect()
}

fn key(case: &Value) -> Key {
    Key::from_seed(u32::try_from(case["seed"].as_u64().unwrap()).unwrap())
}

fn number(case: &Value, name: &str) -> f64 {
    case[name].as_f64().unwrap()
}

fn len(case: &Value) -> usize {
    sizes(&case["shape"]).iter().product()
}

/// The bits of the elements must be those of the case, all of them where it is long.
fn assert_exact(case: &Value, bits: &[u64]) {
    assert_eq!(bits.len(), len(case), "{case}");
    let step = case["step"].as_u64().unwrap_or(1) as usize;
    let seen: Vec<u64> = bits.iter().copied().step_by(step).collect();
    assert_eq!(seen, integers(&case["values"]), "{case}");
    if let Some(expected) = case["digest"].as_u64() {
        let digest = |h: u64, b: &u64| h.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(*b);
        assert_eq!(bits.iter().fold(0, digest), expected, "seed {}", case["seed"]);
    }
}

trait Golden: RandomFloat {
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
    const WIDTH: u32;
}

macro_rules! golden {
    ($($t:ty, $bits:ty;)*) => {$(
        impl Golden for $t {
            const WIDTH: u32 = <$bits>::BITS;
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn from_bits(bits: u64) -> Self {
                <$t>::from_bits(bits as $bits)
            }
        }
    )*};
}
golden! { f16, u16; bf16, u16; f32, u32; f64, u64; }

/// The distance of two numbers in units in the last place.
fn ulps<T: Golden>(a: u64, b: u64) -> u64 {
    let sign = 1u64 << (T::WIDTH - 1);
    let ordered =
        |bits: u64| if bits & sign == 0 { (bits | sign) as i128 } else { (sign - (bits & !sign)) as i128 };
    (ordered(a) - ordered(b)).unsigned_abs() as u64
}

/// Every sample of `sample` on the cases of `function` in this dtype must be within `limit` ULP.
fn assert_close<T: Golden>(function: &str, dtype: &str, limit: u64, sample: impl Fn(&Value) -> Vec<T>) {
    let mut checked = 0;
    for case in cases(function).iter().filter(|case| case["dtype"] == dtype) {
        let sample = sample(case);
        assert_eq!(sample.len(), len(case));
        let step = case["step"].as_u64().unwrap_or(1) as usize;
        let expected = integers(&case["values"]);
        assert_eq!(sample.iter().step_by(step).count(), expected.len());
        for (i, (&got, &want)) in sample.iter().step_by(step).zip(&expected).enumerate() {
            let error = ulps::<T>(got.bits(), want);
            assert!(error <= limit, "{function} {dtype} seed {} #{i}: {error} ULP", case["seed"]);
            checked += 1;
        }
    }
    assert!(checked > 500);
}

fn assert_samples<T: Golden>(dtype: &str, normal_limit: u64) {
    assert_close::<T>("uniform", dtype, 0, |case| {
        uniform(key(case), len(case), number(case, "minval"), number(case, "maxval"))
    });
    let place = |case: &Value| (number(case, "mean"), number(case, "stddev"));
    assert_close::<T>("normal", dtype, normal_limit, |case| {
        normal(key(case), len(case), place(case).0, place(case).1)
    });
    assert_close::<T>("truncated_normal", dtype, normal_limit, |case| {
        truncated_normal(key(case), len(case), place(case).0, place(case).1)
    });
}

#[test]
fn samples_of_float32() {
    assert_samples::<f32>("float32", 0);
}

#[test]
fn samples_of_float64() {
    // The logarithm far from 1 is the platform's.
    assert_samples::<f64>("float64", 2);
}

#[test]
fn samples_of_float16() {
    assert_samples::<f16>("float16", 0);
}

#[test]
fn samples_of_bfloat16() {
    assert_samples::<bf16>("bfloat16", 0);
}

fn check_bits<B: RandomBits + Into<u64>>(case: &Value) {
    let bits: Vec<u64> = random_bits::<B>(key(case), len(case)).into_iter().map(Into::into).collect();
    assert_exact(case, &bits);
}

#[test]
fn bits() {
    for case in cases("bits") {
        match case["dtype"].as_str().unwrap() {
            "uint8" => check_bits::<u8>(&case),
            "uint16" => check_bits::<u16>(&case),
            "uint32" => check_bits::<u32>(&case),
            "uint64" => check_bits::<u64>(&case),
            other => panic!("{other}"),
        }
    }
}

fn check_integers<T: RandomInt>(case: &Value, bits: impl Fn(T) -> u64) {
    let (minval, maxval) = (case["minval"].as_i64().unwrap(), case["maxval"].as_i64().unwrap());
    let drawn: Vec<u64> = randint(key(case), len(case), minval, maxval).into_iter().map(bits).collect();
    assert_exact(case, &drawn);
}

#[test]
fn integers_of_every_type() {
    for case in cases("randint") {
        match case["dtype"].as_str().unwrap() {
            "int8" => check_integers(&case, |x: i8| x as u8 as u64),
            "int16" => check_integers(&case, |x: i16| x as u16 as u64),
            "int32" => check_integers(&case, |x: i32| x as u32 as u64),
            "int64" => check_integers(&case, |x: i64| x as u64),
            "uint8" => check_integers(&case, |x: u8| x as u64),
            "uint16" => check_integers(&case, |x: u16| x as u64),
            "uint32" => check_integers(&case, |x: u32| x as u64),
            "uint64" => check_integers(&case, |x: u64| x),
            other => panic!("{other}"),
        }
    }
}

fn check_categories<T: Golden>(case: &Value) {
    let logits: Vec<T> = integers(&case["logits"]).into_iter().map(T::from_bits).collect();
    let shape = sizes(&case["shape"]);
    let classes = case["classes"].as_u64().unwrap() as usize;
    let drawn = categorical(key(case), &logits, [shape[0], classes], shape[1]).unwrap();
    let drawn: Vec<u64> = drawn.into_iter().map(|class| class as u64).collect();
    assert_exact(case, &drawn);
}

#[test]
fn categories() {
    for case in cases("categorical") {
        match case["logits_dtype"].as_str().unwrap() {
            "float16" => check_categories::<f16>(&case),
            "bfloat16" => check_categories::<bf16>(&case),
            "float32" => check_categories::<f32>(&case),
            "float64" => check_categories::<f64>(&case),
            other => panic!("{other}"),
        }
    }
    assert!(categorical::<f32>(Key::from_seed(0), &[], [3, 0], 1).is_err());
    assert!(categorical(Key::from_seed(0), &[1.0f32; 5], [2, 3], 1).is_err());
    let with_nan = [0.0, f32::NAN, 9.0, f32::NAN];
    assert_eq!(categorical(Key::from_seed(0), &with_nan, [1, 4], 3).unwrap(), [1; 3]);
}

#[test]
fn dropout_masks() {
    for case in cases("dropout_mask") {
        let mask = bernoulli(key(&case), len(&case), 1.0 - number(&case, "rate"));
        assert_exact(&case, &mask.into_iter().map(u64::from).collect::<Vec<_>>());
    }
}

#[test]
fn noise_shapes() {
    let shape = |noise: &[Option<usize>]| dropout_noise_shape(&[8, 5, 3], Some(noise));
    assert_eq!(dropout_noise_shape(&[8, 5], None).unwrap(), [8, 5]);
    assert_eq!(shape(&[None, Some(1), None]).unwrap(), [8, 1, 3]);
    assert_eq!(shape(&[Some(8), Some(5), Some(1)]).unwrap(), [8, 5, 1]);
    assert!(shape(&[None, None]).is_err());
    assert!(shape(&[None, Some(2), None]).is_err());
}

#[test]
fn shuffles() {
    for case in cases("shuffle") {
        let axis = case["axis"].as_u64().unwrap() as usize;
        let data: Vec<u64> = (0..len(&case) as u64).collect();
        assert_exact(&case, &shuffle(key(&case), &data, &sizes(&case["shape"]), axis).unwrap());
    }
    assert!(shuffle(Key::from_seed(0), &[1, 2, 3], &[3], 1).is_err());
    assert!(shuffle(Key::from_seed(0), &[1, 2, 3], &[2, 2], 0).is_err());
}

#[test]
fn derived_keys() {
    let words = |keys: &[Key]| keys.iter().flat_map(|k| k.0).map(u64::from).collect::<Vec<_>>();
    let parent = |case: &Value| Key([integers(&case["key"])[0] as u32, integers(&case["key"])[1] as u32]);
    for case in cases("split") {
        assert_eq!(words(&parent(&case).split::<5>()), integers(&case["values"]));
    }
    for case in cases("fold_in") {
        let data = case["data"].as_u64().unwrap() as u32;
        assert_eq!(words(&[parent(&case).fold_in(data)]), integers(&case["values"]));
    }
}

/// One test, because all of it is about the state of the process.
#[test]
fn seeds_and_the_global_state() {
    let words = |keys: Vec<Key>| Value::from_iter(keys.into_iter().map(|k| k.0.to_vec()));
    for case in cases("seeds") {
        let seed = case["seed"].as_u64().unwrap() as u32;
        set_random_seed(seed);
        let defaults: Vec<u32> = (0..50).map(|_| make_default_seed()).collect();
        assert_eq!(Value::from(defaults), case["default_seeds"]);
        assert_eq!(words((0..5).map(|_| draw_seed(None)).collect()), case["global_keys"]);
        assert_eq!(make_default_seed(), case["default_seed_after"]);

        let generator = SeedGenerator::new(Some(seed));
        let by_generator = Seed::from(generator.clone());
        let drawn = (0..3).map(|_| draw_seed(Some(&by_generator))).collect();
        assert_eq!(words(drawn), case["generator_keys"]);
        let drawn = (0..3).map(|_| generator.next_unordered()).collect();
        assert_eq!(words(drawn), case["generator_unordered_keys"]);
        assert_eq!(Value::from(generator.state().to_vec()), case["generator_state"]);
        assert_eq!(draw_seed(Some(&Seed::from(seed))), Key([seed, 0]));

        for expected in case["permutations"].as_array().unwrap() {
            let expected = sizes(expected);
            assert_eq!(global_permutation(expected.len()), expected);
        }
    }

    set_random_seed(3);
    let drawn = SeedGenerator::new(None);
    set_random_seed(3);
    assert_eq!(drawn.state(), [make_default_seed(), 0]);
    assert_eq!(drawn.seed(), None);
    drawn.set_state([5, 6]);
    assert_eq!(drawn.next(), Key([5, 6]));
}
