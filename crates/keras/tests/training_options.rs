//! What users of `fit` rely on beside learning: where batches begin, what callbacks write, weights of classes.

use std::fs;

use keras::prelude::*;
use keras::training::Identifier;
use keras::training::callbacks::Mode;

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

/// A layer of `units` with the same weights in Keras, and ten points.
fn compiled(
    units: usize,
    activation: Activation,
    loss: &str,
    metrics: Vec<Identifier<dyn keras_spec::Metric>>,
) -> (Model, HostTensor) {
    let mut model =
        Sequential::new().add(Input::new([3])).add(Dense::new(units).activation(activation)).build().unwrap();
    let kernel: Vec<f32> = (0..3 * units).map(|i| (i % 4) as f32 - 1.5).collect();
    let bias = HostTensor::full([units], keras_spec::DType::F32, 0.0);
    model.set_weights(&[HostTensor::new([3, units], kernel).unwrap(), bias]).unwrap();
    model.compile(Compile::new(SGD::new(0.5), loss).metrics(metrics)).unwrap();
    let x: Vec<f32> = (0..30).map(|i| -1.0 + i as f32 * 2.0 / 29.0).collect();
    (model, HostTensor::new([10, 3], x).unwrap())
}

fn close(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} {expected:?}");
}

#[test]
fn metrics_with_several_thresholds_have_arrays_in_logs() {
    use keras::metrics::{Precision, Recall, TruePositives};
    let y = HostTensor::new([10, 1], (0..10).map(|i| (i % 2) as f32).collect::<Vec<_>>()).unwrap();
    let both = || vec![0.3, 0.5];
    let metrics = || {
        vec![
            Recall::new().thresholds(both()).name("r").into(),
            Precision::new().thresholds(both()).name("p").into(),
            TruePositives::new().thresholds(both()).name("tp").into(),
            "accuracy".into(),
        ]
    };
    let (mut model, x) = compiled(1, Activation::Sigmoid, "binary_crossentropy", metrics());
    // The numbers are those of Keras 3.15.1.
    let logs = model.train_on_batch(&Batch::new(&x, &y)).unwrap();
    close(&[logs["loss"], logs["accuracy"]], &[0.866_781_6, 0.4]);
    let array = |name: &str| logs.array(name).unwrap().to_f64_vec();
    close(&array("r"), &[0.8, 0.4]);
    close(&array("p"), &[0.5, 0.4]);
    close(&array("tp"), &[4.0, 2.0]);
    assert_eq!(logs.names().collect::<Vec<_>>(), ["accuracy", "loss", "p", "r", "tp"]);

    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("log.csv");
    let fit = |epochs: usize| {
        Fit::new().epochs(epochs).batch_size(5).shuffle(false).verbose(0).validation_data(&x, &y)
    };
    let history = model.fit(&x, &y, fit(2).callback(CSVLogger::new(&csv))).unwrap();
    let arrays =
        |name: &str| history.arrays(name).iter().flat_map(HostTensor::to_f64_vec).collect::<Vec<_>>();
    close(&arrays("r"), &[0.8, 0.4, 1.0, 0.4]);
    close(&arrays("val_p"), &[0.5, 0.5, 0.5, 0.5]);
    close(&arrays("val_tp"), &[5.0, 3.0, 5.0, 3.0]);
    close(history.get("val_loss"), &[0.762_123_3, 0.724_706_4]);
    assert!(history.get("r").is_empty());
    let csv = fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "epoch,accuracy,loss,p,r,tp,val_accuracy,val_loss,val_p,val_r,val_tp");
    let first = r#""""[0.44444445, 0.4]""","""[0.8, 0.4]""","""[4.0, 2.0]""",0.5,"#;
    assert!(lines[1].starts_with("0,0.4000000059604645,0.82346") && lines[1].contains(first), "{}", lines[1]);
    assert!(lines[2].ends_with(r#","""[0.5, 0.5]""","""[1.0, 0.6]""","""[5.0, 3.0]""""#), "{}", lines[2]);

    let evaluated = model.evaluate(&x, &y, Evaluate::new().verbose(0)).unwrap();
    close(&evaluated.array("r").unwrap().to_f64_vec(), &[1.0, 0.6]);

    // Keras refuses to compare arrays too, though in numpy's words.
    for error in [
        model.fit(&x, &y, fit(1).callback(EarlyStopping::new("val_r").mode(Mode::Max))).unwrap_err(),
        model.fit(&x, &y, fit(1).callback(ReduceLROnPlateau::new("r").mode(Mode::Max))).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("one number") && error.contains("r`, an array of shape"), "{error}");
    }
    // It saves every model where none is the best.
    let path = folder.path().join("{epoch}.keras").to_string_lossy().into_owned();
    let best = ModelCheckpoint::new(path).monitor("val_r").mode(Mode::Max).save_best_only(true);
    model.fit(&x, &y, fit(3).callback(best)).unwrap();
    assert!((1..=3).all(|epoch| folder.path().join(format!("{epoch}.keras")).exists()));
    let named = folder.path().join("{val_r:.2f}.keras").to_string_lossy().into_owned();
    let error = model.fit(&x, &y, fit(1).callback(ModelCheckpoint::new(named))).unwrap_err().to_string();
    assert!(error.contains("{val_r}, which is an array"), "{error}");

    // One threshold in a list is one number, as in Keras.
    let one = Recall::new().thresholds(vec![0.5]).name("r");
    let (mut model, x) = compiled(1, Activation::Sigmoid, "binary_crossentropy", vec![one.into()]);
    close(&[model.train_on_batch(&Batch::new(&x, &y)).unwrap()["r"]], &[0.4]);
}

#[test]
fn metrics_by_class_have_arrays_in_logs() {
    use keras::metrics::{F1Score, R2Score};
    let y = HostTensor::new(
        [10, 3],
        (0..30).map(|i| f32::from(u8::from(i % 3 == i / 3 % 3))).collect::<Vec<_>>(),
    );
    let y = y.unwrap();
    let metrics =
        vec![F1Score::new().name("f1").into(), R2Score::new().class_aggregation(None).name("r2").into()];
    let (mut model, x) = compiled(3, Activation::Softmax, "categorical_crossentropy", metrics);
    let logs = model.train_on_batch(&Batch::new(&x, &y)).unwrap();
    close(&[logs["loss"]], &[1.235_167_4]);
    close(&logs.array("f1").unwrap().to_f64_vec(), &[0.444_444, 0.5, 0.285_714]);
    close(&logs.array("r2").unwrap().to_f64_vec(), &[-0.124_448_5, 0.019_162_9, -0.225_545_2]);
    let fit = Fit::new().epochs(2).batch_size(5).shuffle(false).verbose(2).validation_data(&x, &y);
    let history = model.fit(&x, &y, fit).unwrap();
    close(&history.arrays("val_f1")[1].to_f64_vec(), &[0.4, 0.285_714, 0.0]);
    close(&history.arrays("r2")[0].to_f64_vec(), &[-0.094_329_1, 0.006_698_4, -0.176_200_4]);
}
