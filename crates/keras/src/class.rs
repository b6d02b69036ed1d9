//! What makes a struct with serde's traits a class that files can name.

/// Makes a struct the class `$module.$Class` of a family of objects: its [`keras_spec::Object`] and its registration, with
/// other names it answers to (`aliases ["zeros"]`) and a method that checks arguments from files (`check validate`).
macro_rules! keras_class {
    ($Family:ty, $module:literal, $Class:ident
        $(, aliases [$($alias:literal),* $(,)?])? $(, check $check:ident)?) => {
        impl $Class {
            const CLASS: keras_spec::Class = keras_spec::Class::keras($module, stringify!($Class));
        }

        keras_spec::register!(
            $Family,
            $Class::CLASS,
            |config| {
                let object: $Class = keras_spec::object::from_config($Class::CLASS, config)?;
                $(object.$check()?;)?
                Ok(Box::new(object))
            },
            &[$($($alias),*)?]
        );

        impl keras_spec::Object for $Class {
            fn class(&self) -> keras_spec::Class {
                Self::CLASS
            }

            fn config(&self) -> keras_spec::Result<keras_spec::Config> {
                keras_spec::object::to_config(self)
            }
        }
    };
}
pub(crate) use keras_class;

/// Writes builder methods: `name: Type` takes what converts into the type, `some name: Type` fills an `Option`; with `=` the
/// type itself is taken (integers, which literals do not convert into).
macro_rules! builders {
    () => {};
    ($(#[$doc:meta])* some $name:ident = $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $Type) -> Self {
            self.$name = Some($name);
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident = $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $Type) -> Self {
            self.$name = $name;
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* some $name:ident: $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$name = Some($name.into());
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident: $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$name = $name.into();
            self
        }
        $crate::class::builders! { $($rest)* }
    };
}
pub(crate) use builders;
