//! Option tables: one declaration gives the struct, its defaults, its serde
//! form and the rows that `relievo options` prints.

use serde::Serialize;

/// One row of `relievo options`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionRow {
    /// Field name; `--set <section>.<name>=<value>` sets it.
    pub name: &'static str,
    /// What it does.
    pub meaning: String,
    /// Unit, or empty.
    pub unit: &'static str,
    /// Default value as typed in TOML.
    pub default: String,
    /// Where the default comes from.
    pub source: &'static str,
}

/// Implemented by every struct that [`options!`](crate::options!) declares.
pub trait OptionTable {
    /// The rows, in order of declaration.
    fn rows() -> Vec<OptionRow>;
}

/// Renders a default for the table.
pub fn show(value: &impl serde::Serialize) -> String {
    let mut text = String::new();
    match value.serialize(toml_value::Scalar(&mut text)) {
        Ok(()) => text,
        Err(_) => "(structured)".to_owned(),
    }
}

/// Declares an option struct:
///
/// ```
/// relievo_task::options! {
///     /// Options of the toy algorithm.
///     pub struct ToyOptions {
///         /// Most iterations of the solver.
///         max_iterations: usize = 50, "iterations", "judgement; converges in 20 on all sets";
///     }
/// }
/// assert_eq!(ToyOptions::default().max_iterations, 50);
/// ```
///
/// Each field: doc comment (the meaning), `name: type = default, "unit",
/// "where the default comes from";`. Derives Clone, Debug, PartialEq,
/// Serialize, Deserialize (missing fields take the default, unknown ones are
/// refused).
#[macro_export]
macro_rules! options {
    ($(#[doc = $sdoc:literal])* pub struct $name:ident {
        $( $(#[doc = $doc:literal])+ $field:ident : $ty:ty = $default:expr, $unit:literal, $source:literal ; )*
    }) => {
        $(#[doc = $sdoc])*
        #[derive(Clone, Debug, PartialEq, $crate::options::serde::Serialize, $crate::options::serde::Deserialize)]
        #[serde(crate = "relievo_task::options::serde", default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ #[doc = ""] #[doc = concat!("Unit: ", $unit, ". Default from: ", $source, ".")] pub $field: $ty, )*
        }
        impl Default for $name {
            fn default() -> Self { Self { $( $field: $default, )* } }
        }
        impl $crate::OptionTable for $name {
            fn rows() -> Vec<$crate::OptionRow> {
                let defaults = Self::default();
                vec![ $( $crate::OptionRow {
                    name: stringify!($field),
                    meaning: concat!($($doc),+).trim().to_owned(),
                    unit: $unit,
                    default: $crate::options::show(&defaults.$field),
                    source: $source,
                }, )* ]
            }
        }
    };
}

#[doc(hidden)]
pub use serde;

mod toml_value {
    //! The smallest serializer that can print a scalar, an option or a list.
    use serde::ser::{self, Impossible, Serializer};
    use std::fmt::{self, Write};

    #[derive(Debug)]
    pub(super) struct Unsupported;
    impl fmt::Display for Unsupported {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("not a scalar")
        }
    }
    impl std::error::Error for Unsupported {}
    impl ser::Error for Unsupported {
        fn custom<T: fmt::Display>(_: T) -> Self {
            Self
        }
    }

    pub(super) struct Scalar<'a>(pub(super) &'a mut String);

    macro_rules! plain {
        ($($f:ident: $t:ty),*) => { $(
            fn $f(self, v: $t) -> Result<(), Unsupported> {
                write!(self.0, "{v}").map_err(|_| Unsupported)
            }
        )* };
    }

    impl Serializer for Scalar<'_> {
        type Ok = ();
        type Error = Unsupported;
        type SerializeSeq = Self;
        type SerializeTuple = Self;
        type SerializeTupleStruct = Impossible<(), Unsupported>;
        type SerializeTupleVariant = Impossible<(), Unsupported>;
        type SerializeMap = Impossible<(), Unsupported>;
        type SerializeStruct = Impossible<(), Unsupported>;
        type SerializeStructVariant = Impossible<(), Unsupported>;
        plain!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
               serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
               serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char);
        fn serialize_str(self, v: &str) -> Result<(), Unsupported> {
            write!(self.0, "\"{v}\"").map_err(|_| Unsupported)
        }
        fn serialize_bytes(self, _: &[u8]) -> Result<(), Unsupported> {
            Err(Unsupported)
        }
        fn serialize_none(self) -> Result<(), Unsupported> {
            self.0.push_str("(none)");
            Ok(())
        }
        fn serialize_some<T: ser::Serialize + ?Sized>(self, v: &T) -> Result<(), Unsupported> {
            v.serialize(self)
        }
        fn serialize_unit(self) -> Result<(), Unsupported> {
            self.serialize_none()
        }
        fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unsupported> {
            self.serialize_none()
        }
        fn serialize_unit_variant(
            self,
            _: &'static str,
            _: u32,
            variant: &'static str,
        ) -> Result<(), Unsupported> {
            self.serialize_str(variant)
        }
        fn serialize_newtype_struct<T: ser::Serialize + ?Sized>(
            self,
            _: &'static str,
            v: &T,
        ) -> Result<(), Unsupported> {
            v.serialize(self)
        }
        fn serialize_newtype_variant<T: ser::Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), Unsupported> {
            Err(Unsupported)
        }
        fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unsupported> {
            self.0.push('[');
            Ok(self)
        }
        fn serialize_tuple(self, n: usize) -> Result<Self, Unsupported> {
            self.serialize_seq(Some(n))
        }
        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, Unsupported> {
            Err(Unsupported)
        }
        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, Unsupported> {
            Err(Unsupported)
        }
        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
            Err(Unsupported)
        }
        fn serialize_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStruct, Unsupported> {
            Err(Unsupported)
        }
        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, Unsupported> {
            Err(Unsupported)
        }
    }
    impl ser::SerializeSeq for Scalar<'_> {
        type Ok = ();
        type Error = Unsupported;
        fn serialize_element<T: ser::Serialize + ?Sized>(
            &mut self,
            v: &T,
        ) -> Result<(), Unsupported> {
            if !self.0.ends_with('[') {
                self.0.push_str(", ");
            }
            v.serialize(Scalar(self.0))
        }
        fn end(self) -> Result<(), Unsupported> {
            self.0.push(']');
            Ok(())
        }
    }
    impl ser::SerializeTuple for Scalar<'_> {
        type Ok = ();
        type Error = Unsupported;
        fn serialize_element<T: ser::Serialize + ?Sized>(
            &mut self,
            v: &T,
        ) -> Result<(), Unsupported> {
            ser::SerializeSeq::serialize_element(self, v)
        }
        fn end(self) -> Result<(), Unsupported> {
            ser::SerializeSeq::end(self)
        }
    }
}
