//! Parser of Sec-WebSocket-Extensions (RFC 6455 §9.1).
//!
//! ```text
//!  extension *( "," extension )      extension = token *( ";" token [ "=" ( token / quoted-string ) ] )
//! ```

use std::borrow::Cow;

use crate::proto::semantics::is_token_byte;

/// Maximum number of parameters of an extension. permessage-deflate has four.
const MAX_PARAMETERS: usize = 16;

/// Extension that a client offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    pub(super) name: &'a [u8],
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// Name and value of a parameter. The value is unquoted.
pub(super) type Parameter<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// Error of a malformed header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Parses the value of one header field.
///
/// # Errors
///
/// The value does not match the grammar.
pub(super) fn offers(value: &[u8]) -> Result<Vec<Offer<'_>>, Malformed> {
    let mut lexer = Lexer { rest: value };
    let mut offers = Vec::new();
    loop {
        // A list may contain empty elements, which are ignored (RFC 9110 §5.6.1).
        while lexer.take_byte(b',') {}
        if lexer.is_done() {
            return Ok(offers);
        }
        offers.push(lexer.offer()?);
        if !lexer.is_done() && !lexer.take_byte(b',') {
            return Err(Malformed);
        }
    }
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    fn offer(&mut self) -> Result<Offer<'a>, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take_byte(b';') {
            if parameters.len() == MAX_PARAMETERS {
                return Err(Malformed);
            }
            let name = self.token()?;
            let value = if self.take_byte(b'=') { Some(self.value()?) } else { None };
            parameters.push((name, value));
        }
        Ok(Offer { name, parameters })
    }

    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.take_byte(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let end = self.rest.iter().position(|byte| b"\"\\".contains(byte)).ok_or(Malformed)?;
        if self.rest[end] == b'"' {
            let value = Cow::Borrowed(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            return Self::check_token(value);
        }
        self.unescaped().map(Cow::Owned).and_then(Self::check_token)
    }

    /// Parses a quoted value with escapes, after its opening quote.
    fn unescaped(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut value = Vec::new();
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Ok(value);
                }
                [] | [b'\\'] => return Err(Malformed),
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                    value.push(*byte);
                    self.rest = rest;
                }
            }
        }
    }

    /// Checks that a quoted value is a token after unquoting, as the grammar requires.
    fn check_token(value: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, Malformed> {
        let is_token = !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte));
        if is_token { Ok(value) } else { Err(Malformed) }
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_space();
        let len = self.rest.iter().take_while(|&&byte| is_token_byte(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// Consumes `byte` if it is next, after white space.
    fn take_byte(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn is_done(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<String, Malformed> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let offers = offers(value.as_bytes())?;
        let lines = offers.iter().map(|offer| {
            let parameters = offer.parameters.iter().map(|(name, value)| match value {
                Some(value) => format!(" {}={}", text(name), text(value)),
                None => format!(" {}", text(name)),
            });
            text(offer.name) + &parameters.collect::<String>()
        });
        Ok(lines.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn lists_of_extensions_with_parameters_are_parsed() {
        assert_eq!(shown("permessage-deflate").unwrap(), "permessage-deflate");
        assert_eq!(shown(" a ; b ; c = 1 , d;e=\"2\" ").unwrap(), "a b c=1|d e=2");
        assert_eq!(shown("a; b=\"1\\2\\\"\"").map_err(drop), Err(()), "a quote is not part of a token");
        assert_eq!(shown("a; b=\"1\\2\"").unwrap(), "a b=12");
        assert_eq!(shown(",, a ,,b,").unwrap(), "a|b");
        assert_eq!(shown("").unwrap(), "");
    }

    #[test]
    fn malformed_values_are_rejected() {
        for value in [
            ";",
            "a;",
            "a b",
            "a;b=",
            "a;=1",
            "a;b=\"",
            "a;b=\"1",
            "a;b=\"\"",
            "a;b=\"x,y\"",
            "a;b=\"\\",
            "\"a\"",
            "a=1",
            "é",
        ] {
            assert_eq!(shown(value), Err(Malformed), "{value}");
        }
        assert_eq!(shown(&format!("a{}", ";b".repeat(17))), Err(Malformed));
    }
}
