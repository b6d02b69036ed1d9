//! The order in which recurrent layers draw seeds; alone in its process, because the seed is global.

use keras::layers::{LSTM, SimpleRNN};
use keras_spec::LayerRef;
use keras_spec::random::{make_default_seed, set_random_seed};

#[test]
fn seeds_are_drawn_in_the_order_of_keras() {
    set_random_seed(7);
    let drawn: Vec<u32> = (0..3).map(|_| make_default_seed()).collect();
    set_random_seed(7);
    let lstm = LayerRef::from(LSTM::new(2));
    set_random_seed(7);
    let simple = LayerRef::from(SimpleRNN::new(2));
    let first = |layer: &LayerRef| layer.seed_generators()[0].state()[0];
    assert_eq!((first(&lstm), first(&simple)), (drawn[2], drawn[0]));
}
