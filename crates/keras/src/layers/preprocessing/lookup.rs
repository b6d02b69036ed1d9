//! Vocabularies: which number stands for which token. What `IntegerLookup` and `StringLookup` have in common.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use keras_spec::{DType, Error, HostTensor, Result, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::encoding::OutputMode;
use super::hash::{bucket, salt};

/// An empty list that has room for so many numbers, which arguments may say.
fn room_for(count: usize) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    match all.try_reserve_exact(count) {
        Ok(()) => Ok(all),
        Err(_) => Err(Error::Memory {
            op: IDF_WEIGHTS.to_owned(),
            what: format!("{count} numbers"),
            bytes: count.saturating_mul(8),
        }),
    }
}

/// Where Keras keeps a vocabulary that was learnt.
const VOCABULARY: &str = "vocabulary.txt";

/// The array in which Keras keeps, among weights, how rare tokens are.
const IDF_WEIGHTS: &str = "idf_weights";

/// A token: an integer or a text.
pub(super) trait Token: Clone + Debug + Display + Eq + Hash + Ord {
    /// What stands for tokens that are not in the vocabulary, unless the layer says otherwise.
    fn unknown() -> Self;

    /// The number of a token outside of the vocabulary, of `count`, where no hash is asked for; texts are always hashed.
    fn remainder(&self, count: usize) -> Option<usize>;
}

impl Token for i64 {
    fn unknown() -> Self {
        -1
    }

    fn remainder(&self, count: usize) -> Option<usize> {
        Some(self.rem_euclid(count as i64) as usize)
    }
}

impl Token for String {
    fn unknown() -> Self {
        "[UNK]".to_owned()
    }

    fn remainder(&self, _count: usize) -> Option<usize> {
        None
    }
}

/// What is done with integers outside of the vocabulary: `oov_method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OovMethod {
    /// Their remainder decides.
    #[default]
    Floormod,
    /// A hash of their decimal form does.
    Farmhash,
}

/// The arguments of a lookup layer, which holds them with `#[serde(flatten)]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Token + Deserialize<'de>"))]
pub(super) struct Lookup<T> {
    #[serde(default)]
    pub(super) invert: bool,
    #[serde(default)]
    pub(super) max_tokens: Option<usize>,
    #[serde(default = "one")]
    pub(super) num_oov_indices: usize,
    #[serde(default = "some_unknown")]
    pub(super) oov_token: Option<T>,
    #[serde(default)]
    pub(super) mask_token: Option<T>,
    #[serde(default = "int")]
    pub(super) output_mode: OutputMode,
    /// Tensors here are dense, whatever files of TensorFlow ask for.
    #[serde(default)]
    sparse: bool,
    #[serde(default)]
    pub(super) pad_to_max_tokens: bool,
    #[serde(default)]
    pub(super) idf_weights: Option<Vec<f64>>,
    #[serde(default)]
    pub(super) vocabulary: Option<Vec<T>>,
    /// How long the vocabulary is, where that is in a file of its own.
    #[serde(default)]
    vocabulary_size: Option<usize>,
    #[serde(default)]
    pub(super) oov_method: OovMethod,
    #[serde(default, deserialize_with = "salt")]
    pub(super) salt: Option<[u64; 2]>,
    #[serde(skip, default = "Arc::default")]
    learnt: Arc<RwLock<Option<Learnt<T>>>>,
}

/// What `adapt` found.
#[derive(Clone, Debug)]
struct Learnt<T> {
    tokens: Vec<T>,
    /// One for each number.
    idf_weights: Option<Vec<f64>>,
}

fn one() -> usize {
    1
}

fn some_unknown<T: Token>() -> Option<T> {
    Some(T::unknown())
}

fn int() -> OutputMode {
    OutputMode::Int
}

impl<T: Token> Lookup<T> {
    pub(super) fn new() -> Self {
        Lookup {
            invert: false,
            max_tokens: None,
            num_oov_indices: 1,
            oov_token: some_unknown(),
            mask_token: None,
            output_mode: OutputMode::Int,
            sparse: false,
            pad_to_max_tokens: false,
            idf_weights: None,
            vocabulary: None,
            vocabulary_size: None,
            oov_method: OovMethod::Floormod,
            salt: None,
            learnt: Arc::default(),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |argument: &str, expected: &str, found: &dyn Debug| {
            Err(Error::argument(argument, expected, format!("{found:?}")))
        };
        if self.max_tokens.is_some_and(|n| n <= 1) {
            return wrong("max_tokens", "more than 1", &self.max_tokens);
        }
        if self.pad_to_max_tokens && self.max_tokens.is_none() {
            return wrong("max_tokens", "a number where `pad_to_max_tokens` is true", &self.max_tokens);
        }
        if self.invert && self.output_mode != OutputMode::Int {
            return wrong("output_mode", "`int` where `invert` is true", &self.output_mode);
        }
        if self.sparse && self.output_mode == OutputMode::Int {
            return wrong("sparse", "false where `output_mode` is `int`", &true);
        }
        let weighted = self.output_mode == OutputMode::TfIdf;
        if self.idf_weights.is_some() && !weighted {
            return wrong("idf_weights", "none unless `output_mode` is `tf_idf`", &self.idf_weights);
        }
        let Some(vocabulary) = &self.vocabulary else { return Ok(()) };
        if weighted && self.idf_weights.as_ref().is_none_or(|w| w.len() != vocabulary.len()) {
            let expected = "as many numbers as `vocabulary` where `output_mode` is `tf_idf`";
            return wrong("idf_weights", expected, &self.idf_weights);
        }
        if vocabulary.is_empty() {
            return wrong("vocabulary", "at least one token", vocabulary);
        }
        let tokens = self.without_special(vocabulary);
        let mut seen = HashSet::new();
        if let Some(twice) = tokens.iter().find(|token| !seen.insert(*token)) {
            return wrong("vocabulary", "each token once", twice);
        }
        if let Some(mask) = self.mask_token.as_ref().filter(|mask| tokens.contains(mask)) {
            return wrong("vocabulary", "the mask token at the start or not at all", mask);
        }
        if let Some(oov) = self.oov_token.as_ref().filter(|oov| self.invert && tokens.contains(oov)) {
            return wrong("vocabulary", "the token for unknown ones at the start or not at all", oov);
        }
        let size = self.token_start().saturating_add(tokens.len());
        match self.max_tokens {
            Some(max) if size > max => wrong("vocabulary", "no more than `max_tokens` tokens", &size),
            _ => Ok(()),
        }
    }

    /// The number of the first of the numbers for unknown tokens; before it there is only that of the mask.
    fn oov_start(&self) -> usize {
        usize::from(self.mask_token.is_some() && self.output_mode == OutputMode::Int)
    }

    fn token_start(&self) -> usize {
        self.oov_start().saturating_add(self.num_oov_indices)
    }

    /// What stands before the tokens of the vocabulary.
    fn special(&self) -> Option<Vec<T>> {
        let mask = (self.oov_start() == 1).then(|| self.mask_token.clone());
        let oov = std::iter::repeat_n(self.oov_token.clone(), self.num_oov_indices);
        mask.into_iter().chain(oov).collect()
    }

    /// The tokens of a vocabulary that may begin with those for the mask and for what is unknown.
    fn without_special<'a>(&self, vocabulary: &'a [T]) -> &'a [T] {
        if self.token_start() > vocabulary.len() {
            return vocabulary;
        }
        let special = self.special().unwrap_or_default();
        vocabulary.strip_prefix(&special[..]).unwrap_or(vocabulary)
    }

    fn learnt(&self) -> Option<Learnt<T>> {
        self.learnt.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tokens by number, without special ones.
    pub(super) fn tokens(&self) -> Option<Vec<T>> {
        match &self.vocabulary {
            Some(given) => Some(self.without_special(given).to_vec()),
            None => self.learnt().map(|learnt| learnt.tokens),
        }
    }

    /// The whole vocabulary, those for the mask and for what is unknown at the front.
    pub(super) fn vocabulary(&self) -> Vec<T> {
        self.special().into_iter().flatten().chain(self.tokens().into_iter().flatten()).collect()
    }

    /// How many numbers there are.
    pub(super) fn size(&self) -> Option<usize> {
        self.tokens().map(|tokens| self.token_start().saturating_add(tokens.len()))
    }

    fn learn(&self, tokens: Vec<T>, idf_weights: Option<Vec<f64>>) {
        *self.learnt.write().unwrap_or_else(PoisonError::into_inner) = Some(Learnt { tokens, idf_weights });
    }

    /// Learns the vocabulary of a file of Keras, one token per line.
    pub(super) fn load_assets(&self, class: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<()>
    where
        T: FromStr,
    {
        let wrong = |found: &str| {
            Error::config(class, format!("`{VOCABULARY}`: expected a token per line, found {found}"))
        };
        let bytes = files.get(VOCABULARY).ok_or_else(|| wrong("no such file"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("bytes that are not text"))?;
        let tokens = text
            .trim_end_matches('\n')
            .lines()
            .map(|line| line.parse().map_err(|_| wrong(&format!("{line:?}"))));
        let tokens: Vec<T> = tokens.collect::<Result<_>>()?;
        self.learn(self.without_special(&tokens).to_vec(), None);
        Ok(())
    }

    /// Learns the tokens of documents, the most frequent ones first; of equally frequent ones the greatest.
    pub(super) fn adapt(&self, documents: &[Vec<T>]) -> Result<()> {
        if self.vocabulary.is_some() {
            return Err(Error::argument("vocabulary", "none, to learn it", "one that was given"));
        }
        let mut counts: HashMap<&T, (usize, usize)> = HashMap::new();
        for document in documents {
            let mut seen = HashSet::new();
            for token in document {
                let (times, in_documents) = counts.entry(token).or_default();
                *times += 1;
                *in_documents += usize::from(seen.insert(token));
            }
        }
        for special in [&self.mask_token, &self.oov_token].into_iter().flatten() {
            counts.remove(special);
        }
        let mut found: Vec<(&T, (usize, usize))> = counts.into_iter().collect();
        found.sort_by(|(a, (m, _)), (b, (n, _))| (n, b).cmp(&(m, a)));
        if let Some(max) = self.max_tokens {
            found.truncate(max.saturating_sub(self.token_start()));
        }
        let weights = (self.output_mode == OutputMode::TfIdf).then(|| {
            let rarity =
                |&(_, (_, n)): &(_, (_, usize))| (1.0 + documents.len() as f64 / (1.0 + n as f64)).ln();
            self.padded(found.iter().map(rarity).collect())
        });
        let weights = weights.transpose()?;
        self.learn(found.into_iter().map(|(token, _)| token.clone()).collect(), weights);
        Ok(())
    }

    /// Weights of tokens as those of all numbers: unknown tokens have the mean.
    fn padded(&self, weights: Vec<f64>) -> Result<Vec<f64>> {
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut all = room_for(self.token_start().saturating_add(weights.len()))?;
        all.resize(self.token_start(), mean);
        all.extend(weights);
        self.lengthened(all)
    }

    /// Weights with zeros up to `max_tokens`, where vectors have that length.
    fn lengthened(&self, mut weights: Vec<f64>) -> Result<Vec<f64>> {
        if let Some(max) = self.max_tokens.filter(|max| self.pad_to_max_tokens && *max > weights.len()) {
            let mut all = room_for(max)?;
            all.append(&mut weights);
            all.resize(max, 0.0);
            return Ok(all);
        }
        Ok(weights)
    }

    /// How many categories there are, each with a place in the vectors that are given out.
    fn depth(&self) -> Result<usize> {
        match self.max_tokens.filter(|_| self.pad_to_max_tokens) {
            Some(max) => Ok(max),
            None => Ok(self.token_start().saturating_add(self.known()?.len())),
        }
    }

    /// The weights of all numbers as files of Keras have them beside the weights of layers; nothing in other modes than
    /// `tf_idf`, or before there is a vocabulary.
    pub(super) fn saved_arrays(&self) -> Result<BTreeMap<String, HostTensor>> {
        if self.output_mode != OutputMode::TfIdf || self.tokens().is_none() {
            return Ok(BTreeMap::new());
        }
        let weights = HostTensor::new([self.depth()?], self.weights()?)?.cast(DType::F32);
        Ok(BTreeMap::from([(IDF_WEIGHTS.to_owned(), weights)]))
    }

    /// Takes the weights of all numbers from a file, which must have them in the mode `tf_idf` unless they are arguments.
    pub(super) fn load_arrays(&self, class: &str, arrays: &BTreeMap<String, HostTensor>) -> Result<()> {
        if let Some(other) = arrays.keys().find(|name| *name != IDF_WEIGHTS) {
            return Err(Error::config(class, format!("no array but `{IDF_WEIGHTS}`, found `{other}`")));
        }
        let Some(weights) = arrays.get(IDF_WEIGHTS) else {
            return match self.output_mode == OutputMode::TfIdf && self.idf_weights.is_none() {
                true => Err(Error::config(class, format!("an array `{IDF_WEIGHTS}`, found none"))),
                false => Ok(()),
            };
        };
        let expected = [self.depth()?];
        if weights.shape().dims() != expected {
            return Err(Error::argument(IDF_WEIGHTS, format!("shape {expected:?}"), weights.shape()));
        }
        self.learn(self.known()?, Some(weights.to_f64_vec()));
        Ok(())
    }

    /// The weights of all numbers.
    fn weights(&self) -> Result<Vec<f64>> {
        if let Some(learnt) = self.learnt().and_then(|learnt| learnt.idf_weights) {
            return Ok(learnt);
        }
        match (&self.idf_weights, &self.vocabulary) {
            (Some(weights), Some(vocabulary))
                if self.without_special(vocabulary).len() == vocabulary.len() =>
            {
                self.padded(weights.clone())
            }
            (Some(weights), _) => self.lengthened(weights.clone()),
            (None, _) => Err(Error::argument("idf_weights", "numbers, given or from `adapt`", "none")),
        }
    }

    /// The numbers of tokens.
    pub(super) fn numbers(&self, tokens: &[T]) -> Result<Vec<i64>> {
        let known = self.known()?;
        let start = self.token_start();
        let number: HashMap<&T, usize> = known.iter().zip(start..).collect();
        let of = |token: &T| -> Result<i64> {
            if self.mask_token.as_ref() == Some(token) {
                // Where there is no number for the mask, it counts as no category.
                return Ok(if self.output_mode == OutputMode::Int { 0 } else { i64::MAX });
            }
            match number.get(token) {
                Some(&number) => Ok(number as i64),
                None => self.unknown(token),
            }
        };
        tokens.iter().map(of).collect()
    }

    fn known(&self) -> Result<Vec<T>> {
        self.tokens().ok_or_else(|| Error::argument("vocabulary", "tokens, given or from `adapt`", "none"))
    }

    fn unknown(&self, token: &T) -> Result<i64> {
        let start = self.oov_start();
        let place = match self.num_oov_indices {
            0 => {
                let expected = "tokens of the vocabulary, as `num_oov_indices` is 0";
                return Err(Error::argument("inputs", expected, format!("{token:?}")));
            }
            1 => 0,
            n => match token.remainder(n).filter(|_| self.oov_method == OovMethod::Floormod) {
                Some(place) => place,
                None => bucket(token.to_string().as_bytes(), n as u64, self.salt) as usize,
            },
        };
        Ok((start + place) as i64)
    }

    /// The tokens of numbers: what `invert` is about.
    pub(super) fn tokens_of(&self, numbers: &[i64]) -> Result<Vec<T>> {
        let known = self.known()?;
        let unknown = || Error::argument("oov_token", "a token for unknown numbers", "none");
        let of = |&number: &i64| match &self.mask_token {
            Some(mask) if number == 0 => Ok(mask.clone()),
            _ => {
                let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(self.token_start()));
                let token = place.and_then(|place| known.get(place)).or(self.oov_token.as_ref());
                token.cloned().ok_or_else(unknown)
            }
        };
        numbers.iter().map(of).collect()
    }

    /// Numbers in the layer's mode.
    pub(super) fn encode(&self, numbers: &Tensor) -> Result<Tensor> {
        if self.output_mode == OutputMode::Int {
            return numbers.cast(DType::I64);
        }
        let depth = match (self.size(), self.vocabulary_size) {
            (None, Some(size)) if scope::is_abstract() && !self.pad_to_max_tokens => size,
            _ => self.depth()?,
        };
        let encoded = self.output_mode.encode(numbers, depth, DType::I64, None)?;
        if self.output_mode != OutputMode::TfIdf {
            return Ok(encoded);
        }
        // Those of a file come after the graph is made.
        let weights = match scope::is_abstract() {
            true => Tensor::full([depth], DType::F32, 1.0, numbers.device())?,
            false => {
                let weights = HostTensor::new([depth], self.weights()?)?.cast(DType::F32);
                Tensor::from_host(weights, numbers.device())?
            }
        };
        encoded.cast(DType::F32)? * weights
    }

    /// The configuration's entries that depend on what was learnt: a vocabulary that was is written like a given one, and
    /// needs no file beside the configuration.
    pub(super) fn learnt_config(&self, config: &mut keras_spec::Config)
    where
        T: Serialize,
    {
        config.insert("vocabulary_size".to_owned(), serde_json::json!(self.size()));
        if let (None, Some(learnt)) = (&self.vocabulary, self.learnt()) {
            let start = if learnt.idf_weights.is_some() { self.token_start() } else { 0 };
            let weights = learnt.idf_weights.map(|all| all[start..start + learnt.tokens.len()].to_vec());
            config.insert("idf_weights".to_owned(), serde_json::json!(weights));
            config.insert("vocabulary".to_owned(), serde_json::json!(learnt.tokens));
        }
    }
}
