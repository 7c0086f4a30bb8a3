//! Requests of one kind and the responses they must receive.

use windlass::proto::ws::frame::Opcode;
use windlass_cli::client::{
    fault::{Fault, Kind},
    frames,
    payload::{DIGITS, digits, letters},
    response::{self, Response},
};
use windlass_peers::{items, workload};

/// Response bodies that are known without a request.
const KNOWN: [(&str, &str); 3] = [
    ("/demo/plaintext", workload::HELLO),
    ("/demo/json", "{\"message\":\"Hello, World!\"}"),
    ("/demo/items", items::TEXT),
];

/// Request that is sent repeatedly, and its expected response body.
#[derive(Debug)]
pub(crate) struct Template {
    path: String,
    wire: Vec<u8>,
    /// Offset of the serial number in `wire`.
    serial_at: Option<usize>,
    expected: Option<Vec<u8>>,
    /// Type of a WebSocket message. If set, `wire` is the handshake.
    message: Option<Opcode>,
    timed: bool,
}

impl Template {
    /// Creates a GET request. Its response is known, or learned from the first one.
    pub(crate) fn get(path: &str, host: &str, close: bool) -> Self {
        let wire = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", connection(close)).into_bytes();
        let known = KNOWN.iter().find(|(known, _)| *known == path);
        let expected = known.map(|(_, body)| body.as_bytes().to_vec());
        Self { path: path.to_owned(), wire, serial_at: None, expected, message: None, timed: true }
    }

    /// Creates a POST request with a body of `size` bytes that the server must echo.
    pub(crate) fn post(path: &str, host: &str, close: bool, size: usize) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{}content-type: application/octet-stream\r\n\
                     content-length: {size}\r\n\r\n",
            connection(close)
        );
        let body = letters(size);
        let serial_at = (size >= DIGITS).then_some(head.len());
        let wire = [head.as_bytes(), &body].concat();
        Self { path: path.to_owned(), wire, serial_at, expected: Some(body), message: None, timed: true }
    }

    /// Creates a WebSocket message of `size` bytes that the server must echo.
    pub(crate) fn message(path: &str, host: &str, kind: Opcode, size: usize) -> Self {
        Self {
            path: path.to_owned(),
            wire: frames::handshake(path, host),
            serial_at: (size >= DIGITS).then_some(0),
            expected: Some(letters(size)),
            message: Some(kind),
            timed: true,
        }
    }

    /// Excludes the responses from the latency report.
    pub(crate) fn untimed(mut self) -> Self {
        self.timed = false;
        self
    }

    /// Returns `true` if the latency of the responses is reported.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    /// Returns the bytes that open a connection, if the first request needs a handshake.
    pub(crate) fn handshake(&self) -> Option<&[u8]> {
        self.message.map(|_| self.wire.as_slice())
    }

    /// Parses a response, or returns `None` if it is incomplete. Replies required by the protocol are
    /// appended to `out`.
    pub(crate) fn parse<'a>(
        &self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Response<'a>>, Fault> {
        let Some(kind) = self.message else { return response::parse(input) };
        let Some(message) = frames::parse(input, out)? else { return Ok(None) };
        if message.opcode != kind {
            let detail = format_args!("received a {:?} message, expected {kind:?}", message.opcode);
            return Err(Fault::new(Kind::Body, detail));
        }
        Ok(Some(Response { len: message.used, status: 200, body: message.payload, closes: false }))
    }

    /// Appends the request with the given serial number.
    pub(crate) fn write(&self, serial: u64, out: &mut Vec<u8>) {
        if let Some(kind) = self.message {
            let body = self.expected.as_deref().unwrap_or_default();
            let number = digits(serial);
            let number = &number[..self.serial_at.map_or(0, |_| DIGITS)];
            return frames::append(out, kind, [number, &body[number.len()..]], serial);
        }
        let start = out.len();
        out.extend_from_slice(&self.wire);
        if let Some(at) = self.serial_at {
            out[start + at..][..DIGITS].copy_from_slice(&digits(serial));
        }
    }

    /// Stores the response body as the expected one, unless the expected body is known.
    pub(crate) fn learn(&mut self, response: &Response<'_>) {
        self.expected.get_or_insert_with(|| response.body.to_vec());
    }

    /// Returns `true` if both templates expect the same response body.
    pub(crate) fn has_same_response(&self, other: &Self) -> bool {
        self.expected == other.expected
    }

    /// Returns the path of the request.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Checks the status and the body of the response to the request with this serial number.
    pub(crate) fn check(&self, serial: u64, response: &Response<'_>) -> Result<(), Fault> {
        if response.status != 200 {
            return Err(Fault::new(
                Kind::Status,
                format_args!("{} returned status {}", self.path, response.status),
            ));
        }
        let matches = self.expected.as_deref().is_none_or(|expected| match self.serial_at {
            None => expected == response.body.as_ref(),
            Some(_) => {
                let (number, rest) = expected.split_at(DIGITS);
                response
                    .body
                    .strip_suffix(rest)
                    .is_some_and(|start| start.len() == number.len() && start == digits(serial))
            }
        });
        if matches { Ok(()) } else { Err(self.wrong_body(response)) }
    }

    fn wrong_body(&self, response: &Response<'_>) -> Fault {
        let start = &response.body[..response.body.len().min(60)];
        let detail = format!(
            "{} returned {} bytes that do not match the request: {}",
            self.path,
            response.body.len(),
            start.escape_ascii()
        );
        Fault::new(Kind::Body, detail)
    }
}

fn connection(close: bool) -> &'static str {
    if close { "connection: close\r\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &[u8]) -> Response<'_> {
        Response { len: 0, status: 200, body: body.into(), closes: false }
    }

    #[test]
    fn an_echo_must_contain_its_own_serial_number() {
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
    fn an_echoed_message_must_keep_its_type_and_content() {
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
    fn a_learned_body_must_not_change() {
        let mut template = Template::get("/x", "x", false);
        template.learn(&ok(b"one"));
        assert!(template.check(0, &ok(b"one")).is_ok());
        assert_eq!(template.check(0, &ok(b"two")).unwrap_err().kind, Kind::Body);
        let refused = Response { status: 503, ..ok(b"one") };
        assert_eq!(template.check(0, &refused).unwrap_err().kind, Kind::Status);
    }

    #[test]
    fn a_known_body_is_not_replaced_by_learning() {
        let mut template = Template::get("/demo/plaintext", "x", false);
        template.learn(&ok(b"something else"));
        assert!(template.check(0, &ok(b"something else")).is_err());
    }
}
