//! Programs of Keras 1 in Rust: they train, and each call says once which call of Keras 2 to write instead.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use keras::callbacks::EarlyStopping;
use keras::legacy::keras1::{
    self, Activation, Convolution2D, Dense, Dropout, Embedding, Fit, FitGenerator, Flatten, Generators, LSTM,
    MaxPooling2D, Merge, Sequential, ValSamples, constraints, metrics, model, np_utils, objectives,
    optimizers, regularizers,
};
use keras::training::{Batch, Compile};
use keras::{Input, Model};
use keras_spec::{DType, HostTensor, LayerRef, Optimizer, Shared};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps the warnings of the program.
struct Collector;

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if *event.metadata().level() == Level::WARN {
            WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(message.0);
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| tracing::subscriber::set_global_default(Collector).unwrap());
}

/// Sets the seed, and keeps others from drawing from it as long as the guard lives.
fn seeded(seed: u32) -> MutexGuard<'static, ()> {
    static DRAWS: Mutex<()> = Mutex::new(());
    let guard = DRAWS.lock().unwrap_or_else(PoisonError::into_inner);
    keras::random::set_random_seed(seed);
    guard
}

/// How often a warning was said.
fn said(text: &str) -> usize {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|w| *w == text).count()
}

#[test]
fn each_call_warns_once_with_that_of_keras_2() {
    listen();
    let _draws = seeded(0);
    let make = || {
        let _: [LayerRef; 4] = [
            Dense::new(7).init("he_normal").w_regularizer(regularizers::l2(0.25)).bias(false).into(),
            Convolution2D::new(3, 5, 5).border_mode("same").subsample([2, 2]).into(),
            LSTM::new(9).inner_init("orthogonal").dropout_w(0.5).into(),
            Dropout::new(0.125).into(),
        ];
        let _ = (regularizers::l1l2(0.5, 0.25), constraints::maxnorm(3.0));
        let _ = objectives::get("kullback_leibler_divergence");
        let _: keras::training::Fit = Fit::new().nb_epoch(7).batch_size(16).into();
        let _: keras::training::Fit = FitGenerator::new(100, 3).batch_size(32).nb_val_samples(64).into();
        let _: keras_spec::Identifier<dyn Optimizer> = optimizers::SGD::new().lr(0.5).decay(0.25).into();
        let labels = HostTensor::new([2], vec![0i32, 1]).unwrap();
        np_utils::to_categorical(&labels, Some(11)).unwrap();
        let _: LayerRef = keras1::MaxoutDense::new(4).into();
        let workers = FitGenerator::new(70, 2).batch_size(10).nb_worker(4).max_q_size(20).pickle_safe(true);
        let _: keras::training::Fit = workers.into();
        let _: LayerRef =
            keras1::InputLayer::new().input_shape([5]).input_dtype("int32").name("words").into();
        let _: LayerRef = keras1::Lambda::new(|x| &x[0] * 2.0).output_shape([3, 2]).name("twice").into();
        let _: LayerRef = Merge::function(|x| &x[0] - &x[1]).output_shape([6, 5]).into();
        let _: LayerRef = Merge::new("sum").output_shape([6, 5]).output_mask(()).arguments(()).into();
    };
    make();
    make();
    for expected in [
        "Update your `Dense` call to the Keras 2 API: `Dense(units=7, kernel_initializer=VarianceScaling(scale=2.0, \
         mode=\"fan_in\", distribution=\"untruncated_normal\"), \
         kernel_regularizer=L1L2(l1=0.0, l2=0.25), use_bias=False)`",
        "Update your `Convolution2D` call to the Keras 2 API: `Conv2D(filters=3, padding=\"same\", strides=(2, 2), \
         kernel_size=(5, 5))`",
        "Update your `Dropout` call to the Keras 2 API: `Dropout(rate=0.125)`",
        "`l1l2` is `l1_l2(l1=0.5, l2=0.25)` in Keras 2",
        "`maxnorm` is `max_norm(3)` in Keras 2",
        "`keras.objectives.kullback_leibler_divergence` is `keras.losses.kullback_leibler_divergence` in Keras 2",
        "Update your `fit` call to the Keras 2 API: `fit(x, y, epochs=7, batch_size=16)`",
        "Update your `fit_generator` call to the Keras 2 API: \
         `fit_generator(generator, steps_per_epoch=4, epochs=3, validation_steps=2)`",
        "`SGD(lr=0.5, momentum=0.0, decay=0.25, nesterov=False)` is the same in Keras 2; in Keras 3 it is \
         `SGD(momentum=0.0, nesterov=False, learning_rate=InverseTimeDecay(initial_learning_rate=0.5, decay_steps=1, \
         decay_rate=0.25))`",
        "Update your `to_categorical` call to the Keras 2 API: `keras.utils.to_categorical(y, num_classes=11)`",
        "`MaxoutDense` is not in Keras 2: use `Maximum` of several `Dense` layers",
        "Update your `fit_generator` call to the Keras 2 API: `fit_generator(generator, steps_per_epoch=7, epochs=2, \
         workers=4, max_queue_size=20, use_multiprocessing=True)`",
        "Update your `Lambda` call to the Keras 2 API: `Lambda(function, output_shape=(3, 2), name=\"twice\")`",
        "Update your `Merge` call to the Keras 2 API: `Lambda(function, output_shape=(6, 5))`",
        "`Merge` is not in Keras 2: use `Add`, `Multiply`, `Concatenate`, `Average`, `Maximum` or `Dot`",
    ] {
        assert_eq!(said(expected), 1, "{expected}\nsaid:\n{}", WARNINGS.lock().unwrap().join("\n"));
    }
    let words: Vec<String> =
        WARNINGS.lock().unwrap().iter().filter(|w| w.contains("`InputLayer(")).cloned().collect();
    let [only] = words.as_slice() else { panic!("{words:?} of {}", WARNINGS.lock().unwrap().join("\n")) };
    assert!(only.contains("name=\"words\"") && only.contains("dtype=\"int32\""), "{only}");
    let lstm =
        WARNINGS.lock().unwrap().iter().filter(|w| w.contains("`LSTM(units=9")).cloned().collect::<Vec<_>>();
    let [only] = lstm.as_slice() else { panic!("{lstm:?}") };
    assert!(only.contains("recurrent_initializer=") && only.contains("dropout=0.5"), "{only}");
}

fn ramp(shape: &[usize], modulus: usize) -> HostTensor {
    let count = shape.iter().product();
    HostTensor::new(shape, (0..count).map(|i| (i * 7 % modulus) as f32 / modulus as f32).collect()).unwrap()
}

fn optimizer_config(optimizer: impl Into<keras_spec::Identifier<dyn Optimizer>>) -> serde_json::Value {
    match optimizer.into() {
        keras_spec::Identifier::Object(object) => {
            let object: Shared<dyn Optimizer> = object;
            object.config().unwrap().into()
        }
        keras_spec::Identifier::Name(name) => panic!("{name}"),
    }
}

#[test]
fn optimizers_have_the_defaults_of_keras_1() {
    let adadelta = optimizer_config(optimizers::get("adadelta").unwrap());
    assert_eq!((&adadelta["learning_rate"], &adadelta["epsilon"]), (&1.0.into(), &1e-8.into()));
    let adagrad = optimizer_config(optimizers::Adagrad::new());
    assert_eq!(adagrad["initial_accumulator_value"], 0.0);
    // It was the norm of all gradients together.
    let clipped = optimizer_config(optimizers::Adam::new().clipnorm(0.5));
    assert_eq!((&clipped["global_clipnorm"], &clipped["clipnorm"]), (&0.5.into(), &serde_json::Value::Null));
    assert!(optimizers::get("adamw").is_err());
    let dropped = metrics::get("precision").unwrap_err().to_string();
    assert!(dropped.contains("Precision") && dropped.contains("mean over batches"), "{dropped}");
}

/// `examples/mnist_cnn.py` of Keras 1.2.2, smaller.
#[test]
fn a_convolutional_network_trains() {
    listen();
    let _draws = seeded(1337);
    let (nb_classes, nb_epoch, batch_size) = (3, 4, 8);
    // Every third row is bright, and which ones tells the class.
    let pixel = |i: usize| f32::from(i / 8 % 8 % 3 == i / 64 % 3);
    let x_train = HostTensor::new([24, 8, 8, 1], (0..24 * 64).map(pixel).collect()).unwrap();
    let labels = HostTensor::new([24], (0..24).map(|i| i % 3).collect::<Vec<i32>>()).unwrap();
    let y_train = np_utils::to_categorical(&labels, Some(nb_classes)).unwrap();
    let mut model = Sequential::new()
        .add(Convolution2D::new(4, 3, 3).border_mode("valid").input_shape([8, 8, 1]).dim_ordering("tf"))
        .add(Activation::new("relu"))
        .add(MaxPooling2D::new().pool_size([2, 2]).dim_ordering("tf"))
        .add(Dropout::new(0.25))
        .add(Flatten::new())
        .add(Dense::new(16).w_constraint(constraints::maxnorm(2.0)))
        .add(Activation::new("relu"))
        .add(Dense::new(nb_classes))
        .add(Activation::new("softmax"))
        .build()
        .unwrap();
    let compile =
        Compile::new(optimizers::get("adadelta").unwrap(), objectives::get("categorical_crossentropy"));
    model.compile(compile.metrics([metrics::get("accuracy").unwrap()])).unwrap();
    let fit =
        Fit::new().batch_size(batch_size).nb_epoch(nb_epoch).verbose(0).validation_data(&x_train, &y_train);
    let stop = EarlyStopping::new("val_loss").patience(9);
    let history = model.fit(&x_train, &y_train, fit.callback(stop).into()).unwrap();
    let losses = history.get("loss");
    assert_eq!(losses.len(), nb_epoch);
    assert!(losses[nb_epoch - 1] < losses[0], "{losses:?}");
    assert_eq!(history.get("val_accuracy").len(), nb_epoch);
    let weights = model.get_weights().unwrap();
    model.set_weights(&weights).unwrap();
}

/// `examples/imdb_lstm.py` of Keras 1.2.2, smaller, and trained from a generator.
#[test]
fn a_recurrent_network_trains_from_a_generator() {
    listen();
    let _draws = seeded(7);
    let mut model: Model = Sequential::new()
        .add(Embedding::new(20, 8).input_length(6))
        .add(LSTM::new(8).dropout_w(0.1).dropout_u(0.1))
        .add(Dense::new(1).activation("sigmoid"))
        .build()
        .unwrap();
    let compile = Compile::new(optimizers::Adam::new().lr(0.02), "binary_crossentropy");
    model.compile(compile.metrics(["accuracy"])).unwrap();
    let batch = || {
        let words = HostTensor::new(
            [8, 6],
            (0..48).map(|i| if i / 6 % 2 == 0 { i % 9 } else { 10 + i % 9 }).collect::<Vec<i32>>(),
        );
        let y = HostTensor::new([8, 1], (0..8).map(|i| (i % 2) as f32).collect()).unwrap();
        Batch::new(words.unwrap(), y)
    };
    let generator = std::iter::repeat_with(batch);
    let history = model.fit_generator(generator, FitGenerator::new(32, 6).batch_size(8).verbose(0)).unwrap();
    let losses = history.get("loss");
    assert!(losses.len() == 6 && losses[5] < losses[0], "{losses:?}");
    let score = model.evaluate_generator(std::iter::repeat_with(batch), 20).unwrap();
    assert!(score["loss"] < losses[0]);
    // 20 samples are three batches of 8.
    let found = model.predict_generator(std::iter::repeat_with(batch), 20).unwrap();
    assert_eq!(found[0].shape().dims(), [24, 1]);
    let workers = || ValSamples::new(30).nb_worker(3).max_q_size(5).pickle_safe(true);
    for _ in 0..2 {
        model.evaluate_generator(std::iter::repeat_with(batch), workers()).unwrap();
        model.predict_generator(std::iter::repeat_with(batch), workers()).unwrap();
    }
    for method in ["evaluate_generator", "predict_generator"] {
        let call =
            format!("{method}(generator, steps=4, workers=3, max_queue_size=5, use_multiprocessing=True)");
        assert_eq!(said(&format!("Update your `{method}` call to the Keras 2 API: `{call}`")), 1);
    }
}

/// `Lambda(function, mask=…)` of Keras 1.2.2: what the masks of its inputs become.
#[test]
fn a_lambda_masks_what_its_mask_says() {
    listen();
    let _draws = seeded(3);
    let last = |layer: keras1::Lambda| {
        let model = Sequential::new()
            .add(keras1::Masking::new().input_shape([3, 1]))
            .add(layer)
            .add(LSTM::new(1).name("lstm"));
        let mut model = model.build().unwrap();
        let weights: Vec<HostTensor> = model.get_weights().unwrap();
        let weights: Vec<HostTensor> = weights
            .iter()
            .map(|w| HostTensor::new(w.shape().clone(), vec![0.5f32; w.data().len()]).unwrap())
            .collect();
        model.set_weights(&weights).unwrap();
        let x = HostTensor::new([1, 3, 1], vec![1.0f32, 2.0, 0.0]).unwrap();
        model.predict(x).unwrap()[0].to_f64_vec()[0]
    };
    let function = || keras1::Lambda::new(|x| &x[0] * 2.0);
    let unmasked = last(function());
    let masked = last(function().mask(|_, masks| Ok(masks[0].clone())));
    let other = last(function().mask(|x, _| Ok(Some(x[0].squeeze(-1)?.cast(DType::Bool)?))));
    assert!((unmasked - masked).abs() > 1e-3, "{unmasked} {masked}");
    assert_eq!(masked, other);
    assert_eq!(said("Update your `Lambda` call to the Keras 2 API: `Lambda(function, mask=mask)`"), 1);
}

/// `examples/mnist_siamese_graph.py` of Keras 1.2.2, smaller: a shared network, and its outputs merged.
#[test]
fn a_shared_network_with_merge_trains() {
    listen();
    let _draws = seeded(42);
    let base = Sequential::new()
        .add(Dense::new(8).input_shape([4]).activation("relu"))
        .add(Dropout::new(0.1))
        .add(Dense::new(8).activation("relu"))
        .build()
        .unwrap();
    let (a, b) = (Input::new([4]).tensor().unwrap(), Input::new([4]).tensor().unwrap());
    use keras::models::Apply;
    let processed = |input| base.as_layer().clone().apply(input).unwrap();
    let merged = keras1::merge([&processed(&a), &processed(&b)], "concat").unwrap();
    let out = Dense::new(1).activation("sigmoid").apply(&merged).unwrap();
    let mut siamese = model(&[a, b], &[out]).unwrap();
    siamese.compile(Compile::new(optimizers::RMSprop::new().lr(0.01), "mse")).unwrap();
    let (left, right) = (ramp(&[16, 4], 13), ramp(&[16, 4], 11));
    let y = HostTensor::new([16, 1], (0..16).map(|i| (i % 2) as f32).collect()).unwrap();
    let fit = Fit::new().nb_epoch(8).verbose(0).validation_split(0.25);
    let history = siamese.fit([left, right], y, fit.into()).unwrap();
    let losses = history.get("loss");
    assert!(losses[7] < losses[0], "{losses:?}");
}

#[test]
fn a_model_may_begin_with_merged_models() {
    let _draws = seeded(1);
    listen();
    let branch = |units: usize| Sequential::new().add(Dense::new(units).input_dim(4));
    for (mode, units) in [("sum", [3, 3]), ("concat", [2, 5])] {
        let model =
            Sequential::merging(units.map(branch), Merge::new(mode)).add(Dense::new(1)).build().unwrap();
        let width = if mode == "sum" { 3 } else { 7 };
        assert_eq!(model.count_params(), units.iter().map(|u| 5 * u).sum::<usize>() + width + 1);
        let found = model.predict_on_batch(vec![ramp(&[2, 4], 5), ramp(&[2, 4], 7)]).unwrap();
        assert_eq!(found[0].shape().dims(), [2, 1]);
    }
    let wrong = Sequential::merging([branch(2), branch(3)], Merge::new("sum")).build();
    assert!(wrong.is_err());
}
