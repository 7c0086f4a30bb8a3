//! Conversion of path parameters to a type of the program.

use std::{borrow::Cow, fmt};

use http::StatusCode;
use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, Unexpected, VariantAccess,
        Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::Request;
use crate::response::Rejection;

/// Deserializes the path parameters of a request. See [`Request::params_as`] for the types and errors.
pub(super) fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Rejection> {
    T::deserialize(Params(request)).map_err(Error::into_rejection)
}

/// An error of deserializing path parameters.
#[derive(Debug)]
enum Error {
    /// A parameter that the client sent is invalid. Becomes `400` with this text.
    Invalid(String),
    /// The type does not fit the parameters of the route. Becomes `500`; the text is only logged.
    Mismatch(String),
}

impl Error {
    fn into_rejection(self) -> Rejection {
        match self {
            Self::Invalid(problem) => Rejection::bad_request(format!("invalid path: {problem}")),
            Self::Mismatch(problem) => {
                tracing::error!(
                    problem,
                    "path parameters of the route do not fit the type that the handler reads, answering 500"
                );
                let text = "The server failed to handle this request.";
                Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) | Self::Mismatch(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::Invalid(problem.to_string())
    }

    fn invalid_length(len: usize, expected: &dyn de::Expected) -> Self {
        Self::Mismatch(format!("the route has {len} parameters, but the handler reads {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Mismatch(format!("the handler reads a parameter `{field}` that the route does not have"))
    }
}

/// The parameters of a request.
struct Params<'de>(&'de Request);

impl<'de> Params<'de> {
    fn values(&self) -> impl Iterator<Item = Value<'de>> + use<'de> {
        let request = self.0;
        request.params().map(|(name, value)| Value { name, value })
    }

    /// Returns the only parameter of the route. Returns an error if the route has none or several.
    fn only(&self) -> Result<Value<'de>, Error> {
        let mut values = self.values();
        match (values.next(), values.count()) {
            (Some(value), 0) => Ok(value),
            (None, _) => {
                Err(Error::Mismatch("the handler reads one parameter, but the route has none".to_owned()))
            }
            (Some(_), more) => {
                let count = more + 1;
                Err(Error::Mismatch(format!("the handler reads one parameter, but the route has {count}")))
            }
        }
    }
}

/// Deserializes types that take the only parameter of the route.
macro_rules! of_one_parameter {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                self.only()?.$method(visitor)
            }
        )*
    };
}

impl<'de> de::Deserializer<'de> for Params<'de> {
    type Error = Error;

    of_one_parameter! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier deserialize_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.values()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let count = self.values().count();
        if count != len {
            return Err(de::Error::invalid_length(count, &format!("a tuple of {len} parameters").as_str()));
        }
        visitor.visit_seq(SeqDeserializer::new(self.values()))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(self.values().map(|value| (value.name, value))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.only()?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// The name and the decoded value of one path parameter.
struct Value<'de> {
    name: &'de str,
    value: Cow<'de, str>,
}

impl Value<'_> {
    fn parse<T: std::str::FromStr>(&self, kind: &'static str) -> Result<T, Error> {
        self.value.parse().map_err(|_| {
            let (name, value) = (self.name, &self.value);
            Error::Invalid(format!("parameter `{name}` is `{value}`, expected {kind}"))
        })
    }
}

/// Deserializes types that are parsed from the parameter's text.
macro_rules! parsed {
    ($($method:ident $visit:ident $kind:literal)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                visitor.$visit(self.parse($kind)?)
            }
        )*
    };
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = Error;

    parsed! {
        deserialize_bool visit_bool "true or false"
        deserialize_i8 visit_i8 "a whole number of 8 bits"
        deserialize_i16 visit_i16 "a whole number of 16 bits"
        deserialize_i32 visit_i32 "a whole number of 32 bits"
        deserialize_i64 visit_i64 "a whole number of 64 bits"
        deserialize_i128 visit_i128 "a whole number of 128 bits"
        deserialize_u8 visit_u8 "a whole number of 8 bits without sign"
        deserialize_u16 visit_u16 "a whole number of 16 bits without sign"
        deserialize_u32 visit_u32 "a whole number of 32 bits without sign"
        deserialize_u64 visit_u64 "a whole number of 64 bits without sign"
        deserialize_u128 visit_u128 "a whole number of 128 bits without sign"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "one character"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    /// Deserializes a tuple in a list of parameters, such as `Vec<(String, String)>`, from the name and the
    /// value.
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        let name = Self { name: self.name, value: Cow::Borrowed(self.name) };
        visitor.visit_seq(SeqDeserializer::new([name, self].into_iter()))
    }

    forward_to_deserialize_any! {
        str string unit_struct seq tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Deserializes an enum without data from the name of its variant.
impl<'de> EnumAccess<'de> for Value<'de> {
    type Error = Error;
    type Variant = WithoutData;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, WithoutData), Error> {
        seed.deserialize(self).map(|variant| (variant, WithoutData))
    }
}

/// The content of an enum's variant. A parameter has none, so variants with data are errors.
struct WithoutData;

impl<'de> VariantAccess<'de> for WithoutData {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"an enum without data"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"an enum without data"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"an enum without data"))
    }
}
