//! What users of `fit` rely on beside learning: where batches begin, what callbacks write, weights of classes.

use std::fs;

use keras::prelude::*;

/// `x = 0, 1, …` with targets 0.
fn numbers(count: usize) -> (HostTensor, HostTensor) {
    let x: Vec<f32> = (0..count).map(|i| i as f32).collect();
    (HostTensor::new([count, 1], x).unwrap(), HostTensor::new([count, 1], vec![0f32; count]).unwrap())
}

/// A model that multiplies by 1, which a learning rate of 0 keeps so.
fn identity() -> Model {
    let layer = Dense::new(1).kernel_initializer(keras::initializers::Ones::new()).use_bias(false);
    let mut model = Sequential::new().add(Input::new([1])).add(layer).build().unwrap();
    model.compile(Compile::new(SGD::new(0.0), "mean_absolute_error")).unwrap();
    model
}

#[test]
fn an_epoch_of_some_steps_goes_on_where_the_last_one_ended() {
    let (x, y) = numbers(10);
    let fit = Fit::new().batch_size(2).steps_per_epoch(2).epochs(4).shuffle(false).verbose(0);
    let history = identity().fit(&x, &y, fit).unwrap();
    // Keras 3.15.1: the batches 0 1, 2 3; 4 5, 6 7; 8 9 and nothing more; 0 1, 2 3.
    assert_eq!(history.get("loss"), [1.5, 5.5, 8.5, 1.5]);
}

#[test]
fn an_iterator_goes_on_until_it_ends() {
    let (x, y) = numbers(1);
    let batches = (0..5).map(|_| Batch::new(&x, &y));
    let fit = Fit::new().steps_per_epoch(2).epochs(4).verbose(0);
    let history = identity().fit_batches(batches, fit).unwrap();
    assert_eq!(history.epoch, [0, 1, 2]);
}

#[test]
fn a_log_is_continued() {
    let (x, y) = numbers(4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let mut model = identity();
    let fit = |first: usize, callback: CSVLogger| {
        Fit::new().initial_epoch(first).epochs(first + 2).shuffle(false).verbose(0).callback(callback)
    };
    model.fit(&x, &y, fit(0, CSVLogger::new(&path))).unwrap();
    model.fit(&x, &y, fit(2, CSVLogger::new(&path).append(true))).unwrap();
    // Keras 3.15.1 has columns for validation that may come, and the ends of lines of Python's csv.
    let lines = ["epoch,loss,val_loss", "0,1.5,NA", "1,1.5,NA", "2,1.5,NA", "3,1.5,NA", ""];
    assert_eq!(fs::read_to_string(&path).unwrap(), lines.join("\r\n"));
    model.fit(&x, &y, fit(7, CSVLogger::new(&path).separator(';'))).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "epoch;loss;val_loss\r\n7;1.5;NA\r\n8;1.5;NA\r\n");
}

#[test]
fn checkpoints_are_named_by_epoch_and_logs() {
    let (x, y) = numbers(4);
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("at-{epoch:03d}-{val_loss:.2f}.keras");
    let checkpoint = ModelCheckpoint::new(pattern.to_string_lossy());
    let weights = folder.path().join("batch-{batch:02d}.weights.h5");
    let each = ModelCheckpoint::new(weights.to_string_lossy()).save_weights_only(true).save_freq(2);
    let fit = Fit::new().batch_size(1).epochs(2).validation_data(&x, &y).verbose(0);
    identity().fit(&x, &y, fit.callback(checkpoint).callback(each)).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = ["at-001-1.50.keras", "at-002-1.50.keras", "batch-02.weights.h5", "batch-04.weights.h5"];
    assert_eq!(names, expected);
    keras::load_model(folder.path().join("at-002-1.50.keras")).unwrap();

    let unknown = folder.path().join("{nonesuch:.2f}.keras");
    let unknown = ModelCheckpoint::new(unknown.to_string_lossy());
    let error = identity().fit(&x, &y, Fit::new().verbose(0).callback(unknown)).unwrap_err();
    assert!(error.to_string().contains("nonesuch"), "{error}");
}

#[test]
fn classes_count_in_functional_models() {
    // Two samples with the same input and different classes: the weights decide what is learned.
    let x = HostTensor::new([2, 1], vec![1f32, 1.0]).unwrap();
    let y = HostTensor::new([2], vec![0i32, 1]).unwrap();
    let input = Input::new([1]).tensor().unwrap();
    let output = Dense::new(2).activation(Activation::Softmax).apply(&input).unwrap();
    let mut model = Model::new(&[input], &[output]).unwrap();
    model.compile(Compile::new(SGD::new(0.5), "sparse_categorical_crossentropy")).unwrap();
    let fit = Fit::new().epochs(300).class_weight([(0, 1.0), (1, 3.0)]).verbose(0);
    model.fit(&x, &y, fit).unwrap();
    let scores = model.predict(&x).unwrap()[0].to_f64_vec();
    assert!((scores[1] - 0.75).abs() < 1e-2, "{scores:?}");
}
