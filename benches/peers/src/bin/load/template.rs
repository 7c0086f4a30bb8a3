//! What one kind of request looks like and what its response must be.

use std::borrow::Cow;

use windlass::proto::ws::frame::Opcode;
use windlass_peers::{items, workload};

use crate::{
    fault::{Fault, Kind},
    frames,
    response::{self, Response},
};

/// Digits of the serial number at the start of a body.
pub(crate) const SERIAL_DIGITS: usize = 16;

/// Bodies that are known before the server is asked.
const KNOWN: [(&str, &str); 3] = [
    ("/demo/plaintext", workload::HELLO),
    ("/demo/json", "{\"message\":\"Hello, World!\"}"),
    ("/demo/items", items::TEXT),
];

/// A request to send over and over and the body that answers it.
#[derive(Debug)]
pub(crate) struct Template {
    path: String,
    wire: Vec<u8>,
    /// Where in `wire` the serial number goes.
    serial_at: Option<usize>,
    expected: Option<Vec<u8>>,
    /// What a message of a WebSocket is sent as; `wire` is the handshake then.
    message: Option<Opcode>,
    timed: bool,
}

impl Template {
    /// Makes a GET whose answer is known or learnt from the first one.
    pub(crate) fn get(path: &str, host: &str, close: bool) -> Self {
        let wire = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", connection(close)).into_bytes();
        let known = KNOWN.iter().find(|(known, _)| *known == path);
        let expected = known.map(|(_, body)| body.as_bytes().to_vec());
        Self { path: path.to_owned(), wire, serial_at: None, expected, message: None, timed: true }
    }

    /// Makes a POST of `size` bytes that must come back.
    pub(crate) fn post(path: &str, host: &str, close: bool, size: usize) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{}content-type: application/octet-stream\r\ncontent-length: {size}\r\n\r\n",
            connection(close)
        );
        let body = letters(size);
        let serial_at = (size >= SERIAL_DIGITS).then_some(head.len());
        let wire = [head.as_bytes(), &body].concat();
        Self { path: path.to_owned(), wire, serial_at, expected: Some(body), message: None, timed: true }
    }

    /// Makes a WebSocket's message of `size` bytes, which must come back as it was sent.
    pub(crate) fn message(path: &str, host: &str, kind: Opcode, size: usize) -> Self {
        Self {
            path: path.to_owned(),
            wire: frames::handshake(path, host),
            serial_at: (size >= SERIAL_DIGITS).then_some(0),
            expected: Some(letters(size)),
            message: Some(kind),
            timed: true,
        }
    }

    /// Leaves the latency of the responses out.
    pub(crate) fn untimed(mut self) -> Self {
        self.timed = false;
        self
    }

    /// Says whether the latency of the responses is reported.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    /// Returns what opens a connection, if something must before the first request.
    pub(crate) fn handshake(&self) -> Option<&[u8]> {
        self.message.map(|_| self.wire.as_slice())
    }

    /// Parses what answers such a request; `None` when it is not whole yet. What the protocol owes goes to `out`.
    pub(crate) fn parse<'a>(
        &self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Response<'a>>, Fault> {
        let Some(kind) = self.message else { return response::parse(input) };
        let Some(frame) = frames::parse(input, out)? else { return Ok(None) };
        if frame.opcode != kind {
            return Err(Fault::new(Kind::Body, format_args!("{:?} came back for {kind:?}", frame.opcode)));
        }
        let body = Cow::Borrowed(frame.payload);
        Ok(Some(Response { len: frame.taken, status: 200, body, closes: false }))
    }

    /// Appends the request.
    pub(crate) fn write(&self, serial: u64, out: &mut Vec<u8>) {
        if let Some(kind) = self.message {
            let body = self.expected.as_deref().unwrap_or_default();
            let number = digits(serial);
            let number = &number[..self.serial_at.map_or(0, |_| SERIAL_DIGITS)];
            return frames::append(out, kind, [number, &body[number.len()..]], serial);
        }
        let start = out.len();
        out.extend_from_slice(&self.wire);
        if let Some(at) = self.serial_at {
            out[start + at..][..SERIAL_DIGITS].copy_from_slice(&digits(serial));
        }
    }

    /// Takes the response for the pattern of all later ones, unless the body is known already.
    pub(crate) fn learn(&mut self, response: &Response<'_>) {
        self.expected.get_or_insert_with(|| response.body.to_vec());
    }

    /// Says whether the responses of two templates cannot be told apart.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        self.expected == other.expected
    }

    /// Returns what is asked for.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Checks status and body of the response to the request with this serial number.
    pub(crate) fn check(&self, serial: u64, response: &Response<'_>) -> Result<(), Fault> {
        if response.status != 200 {
            return Err(Fault::new(Kind::Status, format_args!("{} answered {}", self.path, response.status)));
        }
        let fits = self.expected.as_deref().is_none_or(|expected| match self.serial_at {
            None => expected == response.body.as_ref(),
            Some(_) => {
                let (number, rest) = expected.split_at(SERIAL_DIGITS);
                response
                    .body
                    .strip_suffix(rest)
                    .is_some_and(|start| start.len() == number.len() && start == digits(serial))
            }
        });
        if fits { Ok(()) } else { Err(self.wrong_body(response)) }
    }

    fn wrong_body(&self, response: &Response<'_>) -> Fault {
        let start = &response.body[..response.body.len().min(60)];
        let detail = format!(
            "{} answered {} bytes that belong to no or to another request: {}",
            self.path,
            response.body.len(),
            start.escape_ascii()
        );
        Fault::new(Kind::Body, detail)
    }
}

fn letters(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(size).collect()
}

fn connection(close: bool) -> &'static str {
    if close { "connection: close\r\n" } else { "" }
}

/// Writes a number in hexadecimal.
pub(crate) fn digits(serial: u64) -> [u8; SERIAL_DIGITS] {
    std::array::from_fn(|index| {
        let shift = 4 * (SERIAL_DIGITS - 1 - index);
        b"0123456789abcdef"[(serial >> shift & 0xf) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &[u8]) -> Response<'_> {
        Response { len: 0, status: 200, body: body.into(), closes: false }
    }

    #[test]
    fn an_echo_must_carry_its_own_serial_number() {
        let template = Template::post("/demo/echo", "x", false, 20);
        let mut wire = Vec::new();
        template.write(0xab, &mut wire);
        let body = &wire[wire.len() - 20..];
        assert_eq!(body, b"00000000000000abqrst");
        assert!(template.check(0xab, &ok(body)).is_ok());
        assert_eq!(template.check(0xac, &ok(body)).unwrap_err().kind, Kind::Body);
        assert_eq!(template.check(0xab, &ok(&body[1..])).unwrap_err().kind, Kind::Body);
    }

    #[test]
    fn a_message_must_come_back_as_what_it_was() {
        let template = Template::message("/x", "x", Opcode::Text, 20);
        let echo = b"\x81\x1400000000000000abqrst";
        let response = template.parse(echo, &mut Vec::new()).unwrap().unwrap();
        assert!(response.len == echo.len() && template.check(0xab, &response).is_ok());
        assert_eq!(template.check(0xac, &response).unwrap_err().kind, Kind::Body);
        assert_eq!(template.parse(b"\x82\x01a", &mut Vec::new()).unwrap_err().kind, Kind::Body);
        let mut wire = Vec::new();
        template.write(0xab, &mut wire);
        assert_eq!((wire.len(), &wire[..2]), (2 + 4 + 20, b"\x81\x94".as_slice()));
    }

    #[test]
    fn a_learnt_body_must_stay_the_same() {
        let mut template = Template::get("/x", "x", false);
        template.learn(&ok(b"one"));
        assert!(template.check(0, &ok(b"one")).is_ok());
        assert_eq!(template.check(0, &ok(b"two")).unwrap_err().kind, Kind::Body);
        let refused = Response { status: 503, ..ok(b"one") };
        assert_eq!(template.check(0, &refused).unwrap_err().kind, Kind::Status);
    }

    #[test]
    fn a_known_body_is_not_learnt_anew() {
        let mut template = Template::get("/demo/plaintext", "x", false);
        template.learn(&ok(b"something else"));
        assert!(template.check(0, &ok(b"something else")).is_err());
    }
}
