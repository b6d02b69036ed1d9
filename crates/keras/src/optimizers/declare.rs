//! What every optimizer has, written once.

/// Declares what every optimizer has: its class, builders of the common arguments, and the contract by way of [`Rule`].
macro_rules! optimizer {
    ($Optimizer:ident, [$($alias:literal),*]) => {
        impl $Optimizer {
            const CLASS: keras_spec::Class = keras_spec::Class::keras("keras.optimizers", stringify!($Optimizer));
        }

        // Not `keras_class!`: arguments that are missing have the defaults of this optimizer, also those in `Base`.
        keras_spec::register!(
            dyn keras_spec::Optimizer,
            $Optimizer::CLASS,
            |given| {
                let mut config = keras_spec::object::to_config(&$Optimizer::default())?;
                config.extend(given.clone());
                let optimizer: $Optimizer = keras_spec::object::from_config($Optimizer::CLASS, &config)?;
                optimizer.validate()?;
                Ok(Box::new(optimizer))
            },
            &[$($alias),*]
        );

        impl keras_spec::Object for $Optimizer {
            fn class(&self) -> keras_spec::Class {
                Self::CLASS
            }

            fn config(&self) -> keras_spec::Result<keras_spec::Config> {
                let mut config = keras_spec::object::to_config(self)?;
                config.insert("name".to_owned(), base::name(self).into());
                Ok(config)
            }
        }

        impl $Optimizer {
            /// With a learning rate: a number or a schedule.
            pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
                let mut optimizer = Self::default();
                optimizer.base.learning_rate = learning_rate.into();
                optimizer
            }

            /// Leaves variables whose path has one of these parts out of weight decay.
            #[must_use]
            pub fn exclude_from_weight_decay(mut self, parts: &[&str]) -> Self {
                self.base.exclude.extend(parts.iter().map(|part| (*part).to_owned()));
                self
            }

            /// Keeps running averages of the variables with this momentum; training ends with them.
            #[must_use]
            pub fn use_ema(mut self, momentum: f64) -> Self {
                self.base.use_ema = true;
                self.base.ema_momentum = momentum;
                self
            }

            builders! {
                /// The name in files and logs.
                some name in base: String;
                /// The share of each variable that is taken away per unit of learning rate.
                some weight_decay in base: f64;
                /// The greatest norm of the gradient of one variable.
                some clipnorm in base: f64;
                /// The greatest norm of all gradients together.
                some global_clipnorm in base: f64;
                /// The greatest size of an element of a gradient.
                some clipvalue in base: f64;
                /// Replaces the variables by their averages every so many steps.
                some ema_overwrite_frequency in base = u64;
                /// What the loss is multiplied with before gradients are taken.
                some loss_scale_factor in base: f64;
                /// Updates only every so many steps, with the mean of their gradients.
                some gradient_accumulation_steps in base = u64;
            }
        }

        impl keras_spec::Optimizer for $Optimizer {
            fn name(&self) -> String {
                base::name(self)
            }

            fn build(&self, variables: &[keras_spec::Variable]) -> keras_spec::Result<()> {
                base::build(self, variables)
            }

            fn apply(
                &self,
                gradients: &[Option<keras_spec::Tensor>],
                variables: &[keras_spec::Variable],
            ) -> keras_spec::Result<()> {
                base::apply(self, gradients, variables)
            }

            fn variables(&self) -> Vec<keras_spec::Variable> {
                base::variables(self)
            }

            fn iterations(&self) -> u64 {
                base::iterations(self)
            }

            fn learning_rate(&self) -> f32 {
                base::learning_rate(self)
            }

            fn set_learning_rate(&self, rate: f32) -> keras_spec::Result<()> {
                base::set_learning_rate(self, rate)
            }

            fn loss_scale(&self) -> Option<f32> {
                self.base.loss_scale_factor.map(|s| s as f32)
            }

            fn finalize(&self, _variables: &[keras_spec::Variable]) -> keras_spec::Result<()> {
                base::finalize(self)
            }
        }
    };
}
pub(super) use optimizer;
