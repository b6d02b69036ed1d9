//! Training as a user sees it: models learn, options do what they say, and what is wrong is refused.

use keras::prelude::*;
use keras::random::set_random_seed;
use keras_spec::Error;

/// `y = 2a - b + 0.5` at 64 points.
fn line() -> (HostTensor, HostTensor) {
    let at = |i: usize| ((i % 8) as f32 / 4.0 - 1.0, (i / 8) as f32 / 4.0 - 1.0);
    let x: Vec<f32> = (0..64).flat_map(|i| [at(i).0, at(i).1]).collect();
    let y: Vec<f32> = (0..64).map(|i| 2.0 * at(i).0 - at(i).1 + 0.5).collect();
    (HostTensor::new([64, 2], x).unwrap(), HostTensor::new([64, 1], y).unwrap())
}

fn linear(optimizer: impl Into<keras::training::Identifier<dyn keras_spec::Optimizer>>) -> Model {
    let mut model = Sequential::new().add(Input::new([2])).add(Dense::new(1)).build().unwrap();
    model.compile(Compile::new(optimizer, "mse").metrics(["mae"])).unwrap();
    model
}

fn root(e: Error) -> String {
    e.root().to_string()
}

#[test]
fn every_optimizer_learns_a_line() {
    let (x, y) = line();
    set_random_seed(3);
    let models = [
        linear(SGD::new(0.1)),
        linear(SGD::new(0.05).momentum(0.9).nesterov(true)),
        linear(Adam::new(0.05)),
        linear(Adam::new(0.05).amsgrad(true)),
        linear(AdamW::new(0.05).weight_decay(1e-5)),
        linear(RMSprop::new(0.01).momentum(0.5).centered(true)),
    ];
    for mut model in models {
        let history = model.fit(&x, &y, Fit::new().epochs(60).batch_size(16).verbose(0)).unwrap();
        let losses = history.get("loss");
        assert_eq!(losses.len(), 60);
        assert!(losses[59] < 1e-3 && losses[59] < losses[0] / 100.0, "{model:?}: {losses:?}");
        let evaluated = model.evaluate(&x, &y, Evaluate::new().verbose(0)).unwrap();
        assert!(evaluated["loss"] < 1e-3 && evaluated.get("mae").is_some(), "{evaluated:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let (x, y) = line();
    let short = HostTensor::new([3, 1], vec![0f32; 3]).unwrap();
    let mut model = linear("sgd");
    let e = root(model.fit(&x, &short, Fit::new().verbose(0)).unwrap_err());
    assert!(e.contains("`y`") && e.contains("64") && e.contains('3'), "{e}");
    let wide = HostTensor::new([64, 5], vec![0f32; 320]).unwrap();
    let e = root(model.fit(&wide, &y, Fit::new().verbose(0)).unwrap_err());
    assert!(e.contains("inputs") || e.contains('5'), "{e}");
    for (name, fit) in [
        ("batch_size", Fit::new().batch_size(0)),
        ("validation_split", Fit::new().validation_split(1.5)),
        ("steps_per_epoch", Fit::new().steps_per_epoch(0)),
    ] {
        let e = root(model.fit(&x, &y, fit.verbose(0)).unwrap_err());
        assert!(e.contains(name), "{e}");
    }
    let e = model.compile(Compile::new("nonesuch", "mse")).unwrap_err().to_string();
    assert!(e.contains("nonesuch") && e.contains("Adam"), "{e}");
    model.compile(Compile::new("sgd", "nonesuch")).unwrap();
    let e = model.fit(&x, &y, Fit::new().verbose(0)).unwrap_err().to_string();
    assert!(e.contains("nonesuch") && e.contains("MeanSquaredError"), "{e}");
    let mut unbuilt = Sequential::new().add(Dense::new(1)).build().unwrap();
    assert!(matches!(unbuilt.fit(&x, &y, Fit::new()).unwrap_err().root(), Error::NotBuilt { .. }));
    assert!(matches!(unbuilt.set_weights(&[]).unwrap_err().root(), Error::NotBuilt { .. }));
}

#[test]
fn weights_of_samples_and_classes_count() {
    let x = HostTensor::new([2, 1], vec![1f32, 1.0]).unwrap();
    let y = HostTensor::new([2, 1], vec![0f32, 1.0]).unwrap();
    let fitted = |fit: Fit<'_>| {
        let mut model =
            Sequential::new().add(Input::new([1])).add(Dense::new(1).use_bias(false)).build().unwrap();
        model.compile(Compile::new(SGD::new(0.1), "mse")).unwrap();
        model.fit(&x, &y, fit.epochs(200).shuffle(false).verbose(0)).unwrap();
        model.get_weights().unwrap()[0].to_f64_vec()[0]
    };
    assert!((fitted(Fit::new()) - 0.5).abs() < 1e-3);
    let weights = HostTensor::new([2], vec![1f32, 3.0]).unwrap();
    assert!((fitted(Fit::new().sample_weight(weights)) - 0.75).abs() < 1e-3);
    assert!((fitted(Fit::new().class_weight([(1, 3.0)])) - 0.75).abs() < 1e-3);
}

#[test]
fn callbacks_see_and_steer_training() {
    let (x, y) = line();
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("log.csv");
    let mut model = linear(SGD::new(0.1));
    let mut seen = Vec::new();
    let history = model
        .fit(
            &x,
            &y,
            Fit::new()
                .epochs(50)
                .verbose(0)
                .validation_split(0.25)
                .callback(EarlyStopping::new("val_loss").min_delta(1e3).patience(2))
                .callback(LearningRateScheduler::new(
                    |epoch, rate| if epoch == 1 { rate / 2.0 } else { rate },
                ))
                .callback(CSVLogger::new(&csv))
                .callback(LambdaCallback::new().on_epoch_end(|epoch, logs| seen.push((epoch, logs["loss"])))),
        )
        .unwrap();
    // The first epoch is the best by definition; two more may pass.
    assert_eq!(history.epoch, [0, 1, 2]);
    assert_eq!(seen.len(), 3);
    assert_eq!(history.get("loss"), seen.iter().map(|s| s.1).collect::<Vec<_>>());
    assert_eq!(
        history.get("learning_rate").iter().map(|r| (r * 100.0).round()).collect::<Vec<_>>(),
        [10.0, 5.0, 5.0]
    );
    let lines: Vec<String> = std::fs::read_to_string(&csv).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "epoch,learning_rate,loss,mae,val_loss,val_mae");
}

#[test]
fn early_stopping_restores_the_best_weights() {
    let (x, y) = line();
    let mut model = linear(SGD::new(0.1));
    let mut best = (f64::INFINITY, 0);
    let history = model
        .fit(
            &x,
            &y,
            Fit::new()
                .epochs(8)
                .verbose(0)
                .shuffle(false)
                .validation_data(&x, &y)
                // From the fourth epoch on the steps are so large that the loss grows.
                .callback(LearningRateScheduler::new(|epoch, _| if epoch < 3 { 0.1 } else { 1.5 }))
                .callback(EarlyStopping::new("val_loss").patience(3).restore_best_weights(true)),
        )
        .unwrap();
    for (i, loss) in history.get("val_loss").iter().enumerate() {
        if *loss < best.0 {
            best = (*loss, i);
        }
    }
    assert!(best.1 < history.epoch.len() - 1, "{history:?}");
    let evaluated = model.evaluate(&x, &y, Evaluate::new().verbose(0)).unwrap();
    assert!((evaluated["loss"] - best.0).abs() < 1e-6, "{evaluated:?} {best:?}");
}

#[test]
fn batches_may_come_from_anywhere() {
    let (x, y) = line();
    let mut model = linear(SGD::new(0.1));
    let batches = std::iter::repeat_with(|| Batch::new(&x, &y));
    let history = model.fit_batches(batches, Fit::new().epochs(3).steps_per_epoch(5).verbose(0)).unwrap();
    assert_eq!(history.epoch.len(), 3);
    let logs = model.train_on_batch(&Batch::new(&x, &y)).unwrap();
    assert!(logs["loss"].is_finite());
    assert_eq!(model.predict_on_batch(&x).unwrap()[0].shape().dims(), [64, 1]);
}

#[test]
fn several_outputs_have_losses_and_metrics_of_their_own() {
    let input = Input::new([2]).name("point").tensor().unwrap();
    let hidden = Dense::new(8).activation(Activation::Tanh).apply(&input).unwrap();
    let value = Dense::new(1).name("value").apply(&hidden).unwrap();
    let sign = Dense::new(1).activation(Activation::Sigmoid).name("sign").apply(&hidden).unwrap();
    let mut model = Model::new(&[input], &[value, sign]).unwrap();
    let (x, y) = line();
    let signs: Vec<f32> =
        y.as_slice::<f32>().unwrap().iter().map(|v| f32::from(u8::from(*v > 0.0))).collect();
    let signs = HostTensor::new([64, 1], signs).unwrap();
    let losses = Nested::by_name([("value", "mse"), ("sign", "binary_crossentropy")]);
    let metrics = Nested::by_name([("sign", ["accuracy"])]);
    let weights = Nested::by_name([("value", 0.5), ("sign", 2.0)]);
    model.compile(Compile::new(Adam::new(0.02), losses).metrics(metrics).loss_weights(weights)).unwrap();
    let targets = Data::from([("sign", signs), ("value", y)]);
    let history = model.fit(&x, targets, Fit::new().epochs(40).verbose(0)).unwrap();
    let last = |name: &str| history.last(name).unwrap_or(f64::NAN);
    assert!(last("sign_accuracy") > 0.9, "{:?}", history.history.keys());
    let sum = 0.5 * last("value_loss") + 2.0 * last("sign_loss");
    assert!((sum - last("loss")).abs() < 1e-4, "{sum} {}", last("loss"));
}

#[test]
fn a_frozen_layer_does_not_change() {
    let (x, y) = line();
    let frozen: LayerRef = Dense::new(4).name("frozen").trainable(false).into();
    let mut model = Sequential::new().add(Input::new([2])).add(&frozen).add(Dense::new(1)).build().unwrap();
    model.compile(Compile::new(SGD::new(0.1), "mse")).unwrap();
    let before = model.get_weights().unwrap();
    model.fit(&x, &y, Fit::new().epochs(2).verbose(0)).unwrap();
    let after = model.get_weights().unwrap();
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2..], after[2..]);
}

#[test]
fn the_summary_is_keras_s() {
    let model = Sequential::new()
        .name("sequential")
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(32, 3).activation(Activation::Relu).name("conv2d"))
        .add(BatchNormalization::new().name("batch_normalization"))
        .add(Flatten::new().name("flatten"))
        .add(Dense::new(10).name("dense"))
        .build()
        .unwrap();
    let text = model.summary_text(keras::visual::Summary::new()).unwrap();
    // Printed by Keras 3.15.1 for the same model.
    let expected = "\
Model: \"sequential\"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                         ┃ Output Shape                ┃         Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩
│ conv2d (Conv2D)                      │ (None, 6, 6, 32)            │             320 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ batch_normalization                  │ (None, 6, 6, 32)            │             128 │
│ (BatchNormalization)                 │                             │                 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ flatten (Flatten)                    │ (None, 1152)                │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dense (Dense)                        │ (None, 10)                  │          11,530 │
└──────────────────────────────────────┴─────────────────────────────┴─────────────────┘
 Total params: 11,978 (46.79 KB)
 Trainable params: 11,914 (46.54 KB)
 Non-trainable params: 64 (256.00 B)
";
    assert_eq!(text, expected);
}

#[test]
fn pictures_are_drawn() {
    let (x, y) = line();
    let mut model = linear("sgd");
    let history = model.fit(&x, &y, Fit::new().epochs(2).verbose(0)).unwrap();
    let curves = history.plot_svg().unwrap();
    assert!(curves.contains("<svg") && curves.contains("polyline"), "{curves}");
    let graph = model.plot_svg(keras::visual::PlotModel::new()).unwrap();
    assert!(graph.contains("<svg") && graph.contains("Dense"), "{graph}");
}
