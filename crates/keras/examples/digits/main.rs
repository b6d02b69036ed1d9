//! Trains a small convolutional network on 1,797 real handwritten digits, saves it, loads it and shows what it reads.
//!
//! `cargo run --release --example digits [FOLDER]`; the model and the curves go to FOLDER (the current one if not given).

use std::path::PathBuf;

use keras::prelude::*;
use keras::random::set_random_seed;

/// Images `(samples, 8, 8, 1)` with shades from 0 to 1, and their digits: of every fifth line, or of all others.
fn digits(every_fifth: bool) -> Result<(HostTensor, HostTensor)> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let lines = include_str!("digits.csv").lines().enumerate();
    for (_, line) in lines.filter(|(i, _)| (i % 5 == 4) == every_fifth) {
        let mut numbers = line.split(',').filter_map(|n| n.parse::<u8>().ok());
        images.extend(numbers.by_ref().take(64).map(|shade| f32::from(shade) / 16.0));
        labels.extend(numbers.map(i32::from));
    }
    let n = labels.len();
    Ok((HostTensor::new([n, 8, 8, 1], images)?, HostTensor::new([n], labels)?))
}

/// A digit in five shades, two characters to a pixel.
fn draw(image: &[f32]) {
    for row in image.chunks(8) {
        let line: String =
            row.iter().map(|&v| ["  ", "░░", "▒▒", "▓▓", "██"][(v * 4.0).round() as usize]).collect();
        println!("   {line}");
    }
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    set_random_seed(1);
    let (x_train, y_train) = digits(false)?;
    let (x, y) = digits(true)?;

    let mut model = Sequential::new()
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(Conv2D::new(32, 3).padding(Padding::Same).activation(Activation::Relu))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build()?;
    model
        .compile(Compile::new(Adam::new(2e-3), SparseCategoricalCrossentropy::new()).metrics(["accuracy"]))?;
    model.summary()?;

    let fit = Fit::new().epochs(12).batch_size(32).validation_data(&x, &y);
    let history = model.fit(&x_train, &y_train, fit)?;
    history.plot(folder.join("digits-history.svg"))?;

    let path = folder.join("digits.keras");
    model.save(&path)?;
    let mut loaded = keras::load_model(&path)?;
    let before = model.predict(&x)?;
    let after = loaded.predict(&x)?;
    if before != after {
        return Err(Error::other("the loaded model predicts other numbers"));
    }

    let (pixels, truth) = (x.as_slice::<f32>()?, y.as_slice::<i32>()?);
    for i in [0, 101, 202, 303] {
        let scores = &after[0].as_slice::<f32>()?[i * 10..(i + 1) * 10];
        let best = (0..10).fold(0, |best, digit| if scores[digit] > scores[best] { digit } else { best });
        println!("\nreads {best} with {:.1} %, is {}", 100.0 * scores[best], truth[i]);
        draw(&pixels[i * 64..(i + 1) * 64]);
    }
    let accuracy = history.last("val_accuracy").unwrap_or(0.0);
    println!("\nValidation accuracy {accuracy:.4}. {} predicts the same bits after loading.", path.display());
    println!("The curves are in {}.", folder.join("digits-history.svg").display());
    Ok(())
}
