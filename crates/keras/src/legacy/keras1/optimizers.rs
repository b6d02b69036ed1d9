//! `keras.optimizers` of Keras 1: `lr`, `decay`, and the defaults of that time.

use keras_spec::{Config, Error, Identifier, Optimizer, Result};
use serde_json::json;

use super::arguments::python;
use super::warn_once;
use crate::saving::legacy::keras1::upgrade_optimizer_call;

/// Writes the optimizers: each has its arguments with Keras 1's defaults.
macro_rules! optimizers {
    ($($(#[$doc:meta])* $Class:ident { $($argument:ident: $Type:ty = $default:expr),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            pub struct $Class(Config);

            impl Default for $Class {
                fn default() -> Self {
                    let mut config = Config::new();
                    $(config.insert(stringify!($argument).to_owned(), json!($default));)*
                    $Class(config)
                }
            }

            impl $Class {
                /// The defaults of Keras 1.
                pub fn new() -> Self {
                    Self::default()
                }

                $(optimizers!(@argument $argument, $Type, concat!(
                    "Keras 1's argument of this name. Default: ", stringify!($default), "."
                ));)*
                optimizers!(@argument clipnorm, f64, "The norm of all gradients together is not greater.");
                optimizers!(@argument clipvalue, f64, "No number in a gradient is greater, or smaller than minus it.");
            }

            impl From<$Class> for Identifier<dyn Optimizer> {
                fn from(old: $Class) -> Self {
                    today(stringify!($Class), old.0)
                }
            }
        )*

        /// The optimizer of a name in lower case, with the defaults of Keras 1: `"adadelta"` learns at a rate of 1 there, and of
        /// 0.001 since Keras 3 (`keras.optimizers.get`, Keras 1.2.2).
        ///
        /// # Errors
        /// Keras 1 has none of the name.
        pub fn get(name: &str) -> Result<Identifier<dyn Optimizer>> {
            $(if name.eq_ignore_ascii_case(stringify!($Class)) {
                return Ok($Class::new().into());
            })*
            Err(Error::unknown("optimizer", name, [$(stringify!($Class)),*]))
        }
    };
    (@argument $argument:ident, $Type:ty, $doc:expr) => {
        #[doc = $doc]
        #[must_use]
        pub fn $argument(mut self, $argument: $Type) -> Self {
            self.0.insert(stringify!($argument).to_owned(), json!($argument));
            self
        }
    };
}

optimizers! {
    /// `SGD(lr, momentum, decay, nesterov)`: `decay` is a schedule since Keras 3.
    SGD { lr: f64 = 0.01, momentum: f64 = 0.0, decay: f64 = 0.0, nesterov: bool = false }
    /// `RMSprop(lr, rho, epsilon, decay)`.
    RMSprop { lr: f64 = 0.001, rho: f64 = 0.9, epsilon: f64 = 1e-8, decay: f64 = 0.0 }
    /// `Adagrad(lr, epsilon, decay)`, whose sums begin with 0.
    Adagrad { lr: f64 = 0.01, epsilon: f64 = 1e-8, decay: f64 = 0.0 }
    /// `Adadelta(lr, rho, epsilon, decay)`.
    Adadelta { lr: f64 = 1.0, rho: f64 = 0.95, epsilon: f64 = 1e-8, decay: f64 = 0.0 }
    /// `Adam(lr, beta_1, beta_2, epsilon, decay)`.
    Adam { lr: f64 = 0.001, beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-8, decay: f64 = 0.0 }
    /// `Adamax(lr, beta_1, beta_2, epsilon, decay)`.
    Adamax { lr: f64 = 0.002, beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-8, decay: f64 = 0.0 }
    /// `Nadam(lr, beta_1, beta_2, epsilon, schedule_decay)`, of which `schedule_decay` is fixed since Keras 3.
    Nadam {
        lr: f64 = 0.002, beta_1: f64 = 0.9, beta_2: f64 = 0.999, epsilon: f64 = 1e-8, schedule_decay: f64 = 0.004,
    }
}

fn today(class: &'static str, config: Config) -> Identifier<dyn Optimizer> {
    let old = json!({ "class_name": class, "config": config });
    let call = python(&old);
    let upgraded =
        upgrade_optimizer_call(old).and_then(|new| Ok((python(&new), Identifier::from_value(&new)?)));
    match upgraded {
        Ok((new, optimizer)) => {
            warn_once(format!("`{call}` is the same in Keras 2; in Keras 3 it is `{new}`"));
            optimizer
        }
        // A rate that no optimizer takes; `compile` then says so of the name.
        Err(error) => Identifier::Name(format!("{call}: {error}")),
    }
}
