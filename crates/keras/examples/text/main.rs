//! Trains a bidirectional LSTM that reads a few letters and tells in which of fifteen languages they are written, on the
//! Universal Declaration of Human Rights; saves it, loads it, and asks it about sentences that it has not seen.
//!
//! `cargo run --release --example text [SENTENCE]...`; the model goes to `text.keras`.

use std::collections::BTreeSet;

use keras::prelude::*;
use keras::random::set_random_seed;

/// Letters of a fragment, at most.
const LENGTH: usize = 40;

/// Sentences that are not in the declaration.
const SENTENCES: [&str; 5] = [
    "The quick brown fox jumps over the lazy dog",
    "Morgen früh gehe ich mit meiner Schwester in die Stadt",
    "O menino foi à praia com os seus amigos",
    "Jeg kan godt lide at læse bøger om aftenen",
    "Bugün hava çok güzel, dışarı çıkalım",
];

/// A language's number, and a few words in it.
type Fragment = (usize, String);

/// The declaration in pieces of whole words, lower case: of every fifth paragraph, or of all others.
fn fragments(languages: &[&str], every_fifth: bool) -> Vec<Fragment> {
    let mut fragments = Vec::new();
    let paragraphs = include_str!("declaration.tsv").lines().enumerate();
    for (_, paragraph) in paragraphs.filter(|(i, _)| (i % 5 == 4) == every_fifth) {
        let Some((language, text)) = paragraph.split_once('\t') else { continue };
        let Some(language) = languages.iter().position(|l| *l == language) else { continue };
        let mut fragment = String::new();
        for word in text.to_lowercase().split(' ') {
            if fragment.chars().count() + word.chars().count() >= LENGTH {
                fragments.push((language, std::mem::take(&mut fragment)));
            }
            fragment.push_str(word);
            fragment.push(' ');
        }
        fragments.push((language, fragment));
    }
    fragments
}

/// Letters as numbers `(fragments, LENGTH)`: 0 behind the end, 1 for a letter that is not in the alphabet.
fn encode<'a>(texts: impl Iterator<Item = &'a str>, alphabet: &[char]) -> Result<HostTensor> {
    let mut codes = Vec::new();
    for text in texts {
        let letters = text.chars().map(|c| alphabet.binary_search(&c).map_or(1, |i| i as i32 + 2));
        codes.extend(letters.chain(std::iter::repeat(0)).take(LENGTH));
    }
    HostTensor::new([codes.len() / LENGTH, LENGTH], codes)
}

/// The inputs and the targets of a model.
fn samples(fragments: &[Fragment], alphabet: &[char]) -> Result<(HostTensor, HostTensor)> {
    let languages: Vec<i32> = fragments.iter().map(|(language, _)| *language as i32).collect();
    let x = encode(fragments.iter().map(|(_, text)| text.as_str()), alphabet)?;
    Ok((x, HostTensor::new([languages.len()], languages)?))
}

fn main() -> Result<()> {
    set_random_seed(1);
    let declaration = include_str!("declaration.tsv");
    let languages = declaration.lines().filter_map(|line| Some(line.split_once('\t')?.0));
    let languages: Vec<&str> = languages.collect::<BTreeSet<_>>().into_iter().collect();
    let (train, rest) = (fragments(&languages, false), fragments(&languages, true));
    let alphabet: BTreeSet<char> = train.iter().flat_map(|(_, text)| text.chars()).collect();
    let alphabet: Vec<char> = alphabet.into_iter().collect();
    let (x_train, y_train) = samples(&train, &alphabet)?;
    let (x, y) = samples(&rest, &alphabet)?;

    let mut model = Sequential::new()
        .add(Input::new([LENGTH]).dtype(DType::I32))
        .add(Embedding::new(alphabet.len() + 2, 32).mask_zero(true))
        .add(Bidirectional::new(LSTM::new(64)))
        .add(Dropout::new(0.3))
        .add(Dense::new(languages.len()).activation(Activation::Softmax))
        .build()?;
    model.compile(
        Compile::new(Adam::new(1e-3).clipnorm(1.0), SparseCategoricalCrossentropy::new())
            .metrics(["accuracy"]),
    )?;
    model.summary()?;
    let fit = Fit::new().epochs(12).batch_size(32).validation_data(&x, &y);
    let history = model.fit(&x_train, &y_train, fit)?;

    model.save("text.keras")?;
    let mut loaded = keras::load_model("text.keras")?;
    let own: Vec<String> = std::env::args().skip(1).collect();
    let sentences: Vec<&str> =
        if own.is_empty() { SENTENCES.to_vec() } else { own.iter().map(String::as_str).collect() };
    let lower: Vec<String> = sentences.iter().map(|s| s.to_lowercase()).collect();
    let scores = loaded.predict(&encode(lower.iter().map(String::as_str), &alphabet)?)?;
    println!();
    for (sentence, scores) in sentences.iter().zip(scores[0].as_slice::<f32>()?.chunks(languages.len())) {
        let best = (0..languages.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        println!("{:>5.1} % {:<11} {sentence}", 100.0 * scores[best], languages[best]);
    }
    println!("\nValidation accuracy {:.4}.", history.last("val_accuracy").unwrap_or(0.0));
    Ok(())
}
