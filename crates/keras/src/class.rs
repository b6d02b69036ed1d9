//! What makes a struct with serde's traits a class that files can name.

/// Makes a struct the class `$module.$Class` of Keras; the rest is that of [`keras_spec::class!`].
macro_rules! keras_class {
    ($Family:ty, $module:literal, $Class:ident $($rest:tt)*) => {
        keras_spec::class!($Family, keras_spec::Class::keras($module, stringify!($Class)), $Class $($rest)*);
    };
}
pub(crate) use keras_class;

/// Writes builder methods: `name: Type` takes what converts into the type, `some name: Type` fills an `Option`; with `=` the
/// type itself is taken (integers, which literals do not convert into). `name in group` is a field of the field `group`.
macro_rules! builders {
    () => {};
    ($(#[$doc:meta])* some $name:ident $(in $group:ident)? = $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $Type) -> Self {
            self.$($group.)?$name = Some($name);
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident $(in $group:ident)? = $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $Type) -> Self {
            self.$($group.)?$name = $name;
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* some $name:ident $(in $group:ident)?: $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$($group.)?$name = Some($name.into());
            self
        }
        $crate::class::builders! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident $(in $group:ident)?: $Type:ty; $($rest:tt)*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$Type>) -> Self {
            self.$($group.)?$name = $name.into();
            self
        }
        $crate::class::builders! { $($rest)* }
    };
}
pub(crate) use builders;
