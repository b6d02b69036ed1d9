//! What the global seed decides; in a process of its own and one test after the other, because the seed is global.

use std::sync::{Mutex, PoisonError};

use keras::initializers::HeNormal;
use keras::layers::{Dense, LSTM, SimpleRNN};
use keras_spec::LayerRef;
use keras_spec::random::{make_default_seed, set_random_seed};

static SEED: Mutex<()> = Mutex::new(());

#[test]
fn seeds_are_drawn_in_the_order_of_keras() {
    let _alone = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    set_random_seed(7);
    let drawn: Vec<u32> = (0..3).map(|_| make_default_seed()).collect();
    set_random_seed(7);
    let lstm = LayerRef::from(LSTM::new(2));
    set_random_seed(7);
    let simple = LayerRef::from(SimpleRNN::new(2));
    let first = |layer: &LayerRef| layer.seed_generators()[0].state()[0];
    assert_eq!((first(&lstm), first(&simple)), (drawn[2], drawn[0]));
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let _alone = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    let kernel = |seed| {
        set_random_seed(seed);
        let layer = LayerRef::from(Dense::new(4).kernel_initializer(HeNormal::new()));
        layer.build(&[[1usize, 3].into()]).unwrap();
        layer.weights()[0].get().to_vec::<f32>().unwrap()
    };
    assert_eq!(kernel(1), kernel(1));
    assert_ne!(kernel(1), kernel(2));
}
