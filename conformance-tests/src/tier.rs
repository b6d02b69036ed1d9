//! The steps that a new backend takes one after the other.

use serde::{Deserialize, Serialize};

/// What a test needs to work. A backend that completes one tier has all that the next one builds on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Every required method, on every dtype and generated shapes.
    Core,
    /// Functions of Keras, random numbers, fused operations; the same results on any number of threads.
    Ops,
    /// Gradients of operations, activations, losses and layers.
    Grad,
    /// Layers with given weights, and what belongs to them; the life of a layer from its configuration to a file.
    Layers,
    /// Losses, metrics, optimizers, the weights that models start with.
    Train,
    /// Configurations, model files and whole training runs.
    Files,
}

impl Tier {
    /// Every tier, in order.
    pub const ALL: [Tier; 6] = [Tier::Core, Tier::Ops, Tier::Grad, Tier::Layers, Tier::Train, Tier::Files];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Core => "core",
            Tier::Ops => "ops",
            Tier::Grad => "grad",
            Tier::Layers => "layers",
            Tier::Train => "train",
            Tier::Files => "files",
        }
    }

    /// The tier of a golden vector's results; gradients are [`Tier::Grad`].
    pub(crate) fn of_kind(kind: &str) -> Self {
        match kind {
            "op" | "activation" => Tier::Ops,
            "layer" | "initializer" | "regularizer" | "constraint" => Tier::Layers,
            "loss" | "metric" | "optimizer" | "seeded_model" => Tier::Train,
            _ => Tier::Files,
        }
    }
}
