//! Texts to numbers, as TensorFlow does it (`to_hash_bucket_fast` and `to_hash_bucket_strong`).

use std::hash::Hasher;

use serde::{Deserialize, Deserializer};
use siphasher::sip::SipHasher24;

/// Which of `buckets` a text falls into: by FarmHash's fingerprint, or by SipHash where there is a key.
pub(super) fn bucket(text: &[u8], buckets: u64, key: Option<[u64; 2]>) -> u64 {
    let hash = match key {
        None => farmhash::fingerprint64(text),
        Some([a, b]) => {
            let mut hasher = SipHasher24::new_with_keys(a, b);
            hasher.write(text);
            hasher.finish()
        }
    };
    hash % buckets.max(1)
}

/// A fingerprint made of two (TensorFlow's `FingerprintCat64`).
pub(super) fn join(first: u64, second: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |x: u64| x ^ (x >> 47);
    let mut result = first ^ MULTIPLIER;
    result ^= mix(second.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    result = result.wrapping_mul(MULTIPLIER);
    mix(mix(result).wrapping_mul(MULTIPLIER))
}

/// `salt`: a pair, or one number for twice the same. Files have the pair.
pub(super) fn salt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<[u64; 2]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Salt {
        One(u64),
        Two([u64; 2]),
    }
    Ok(Option::<Salt>::deserialize(d)?.map(|salt| match salt {
        Salt::One(n) => [n; 2],
        Salt::Two(pair) => pair,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What TensorFlow 2 gives.
    #[test]
    fn tensorflow_s_buckets() {
        let buckets = |texts: &[&str], key| -> Vec<u64> {
            texts.iter().map(|text| bucket(text.as_bytes(), 1 << 62, key)).collect()
        };
        let long = "a longer string of more than sixteen";
        assert_eq!(
            buckets(&["7", "hello", long, &"x".repeat(70)], None),
            [
                590_358_713_228_080_280,
                3_786_372_426_573_024_488,
                3_405_350_856_873_125_441,
                845_564_307_397_267_841
            ]
        );
        assert_eq!(
            buckets(&["7", "hello", long], Some([133, 137])),
            [4_162_288_258_081_060_670, 1_067_426_241_479_190_957, 3_801_964_349_543_372_270]
        );
    }
}
