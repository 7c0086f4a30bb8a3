//! What one call sends and what must come back.

use bytes::Bytes;
use clap::ValueEnum;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use windlass_peers::echo::{self, ITEMS, Items, Order, PARTS};

use crate::fault::{Fault, Kind};

/// Stands where the serial number goes; as long as the items are.
const SERIAL: &str = "##########";

/// What to call.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Method {
    /// 50 strings of ten bytes there and back
    Unary,
    /// One message there, a stream of 100 back
    Stream,
}

/// A call to make over and over.
///
/// Each has a serial number that must come back, so that a reply to another call is noticed.
#[derive(Debug)]
pub(crate) struct Call {
    head: Request<()>,
    request: Numbered,
    reply: Numbered,
}

impl Call {
    pub(crate) fn new(method: Method, scheme: &str) -> Result<Self, http::Error> {
        let (path, request, reply) = match method {
            Method::Unary => (echo::UNARY, unary(), unary()),
            Method::Stream => (echo::SERVER_STREAM, order(), parts()),
        };
        let head = Request::post(format!("{scheme}://localhost{path}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(())?;
        Ok(Self { head, request: Numbered::new(request), reply: Numbered::new(reply) })
    }

    /// Makes the call and checks all that comes back.
    pub(crate) async fn make(&self, sender: &SendRequest<Bytes>, serial: u64) -> Result<(), Fault> {
        let mut sender = sender.clone().ready().await.map_err(broken)?;
        let (response, mut body) = sender.send_request(self.head.clone(), false).map_err(broken)?;
        body.send_data(self.request.with(serial).into(), true).map_err(broken)?;
        let (head, mut body) = accepted(response.await.map_err(broken)?)?;
        let mut reply = Vec::with_capacity(self.reply.wire.len());
        while let Some(data) = body.data().await {
            let data = data.map_err(broken)?;
            body.flow_control().release_capacity(data.len()).map_err(broken)?;
            reply.extend_from_slice(&data);
            if reply.len() > self.reply.wire.len() {
                return Err(Fault::new(Kind::Body, "more than the whole reply"));
            }
        }
        let trailers = body.trailers().await.map_err(broken)?;
        succeeded(trailers.as_ref().unwrap_or(&head))?;
        if reply == self.reply.with(serial) { Ok(()) } else { Err(wrong(&reply)) }
    }
}

/// Frames of one or more messages that carry a serial number.
#[derive(Debug)]
struct Numbered {
    wire: Vec<u8>,
    serial_at: Vec<usize>,
}

impl Numbered {
    fn new(wire: Vec<u8>) -> Self {
        let places = wire.windows(SERIAL.len()).enumerate();
        let serial_at = places.filter(|(_, bytes)| *bytes == SERIAL.as_bytes()).map(|(at, _)| at).collect();
        Self { wire, serial_at }
    }

    fn with(&self, serial: u64) -> Vec<u8> {
        let digits = format!("{:0width$}", serial % 10_u64.pow(SERIAL.len() as u32), width = SERIAL.len());
        let mut wire = self.wire.clone();
        for at in &self.serial_at {
            wire[*at..][..SERIAL.len()].copy_from_slice(digits.as_bytes());
        }
        wire
    }
}

fn unary() -> Vec<u8> {
    let mut items: Vec<String> = (0..ITEMS).map(|index| format!("item {index:05}")).collect();
    items[0] = SERIAL.to_owned();
    let mut wire = Vec::new();
    echo::push_framed(&Items { items }, &mut wire);
    wire
}

fn order() -> Vec<u8> {
    let mut wire = Vec::new();
    echo::push_framed(&Order { parts: PARTS, label: SERIAL.to_owned() }, &mut wire);
    wire
}

fn parts() -> Vec<u8> {
    let mut wire = Vec::new();
    let order = Order { parts: PARTS, label: SERIAL.to_owned() };
    order.fill().for_each(|part| echo::push_framed(&part, &mut wire));
    wire
}

fn accepted(response: Response<RecvStream>) -> Result<(HeaderMap, RecvStream), Fault> {
    let (head, body) = response.into_parts();
    if head.status != 200 {
        return Err(Fault::new(Kind::Status, format_args!("HTTP status {}", head.status)));
    }
    let content_type = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !content_type.starts_with(b"application/grpc") {
        return Err(Fault::new(Kind::Malformed, "the answer's content-type is not application/grpc"));
    }
    Ok((head.headers, body))
}

/// Reads the status from the trailers, or from the head when it is all there is.
fn succeeded(fields: &HeaderMap) -> Result<(), Fault> {
    match fields.get("grpc-status").map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(status) => {
            let message = fields.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
            let detail = format!("grpc-status {}: {}", status.escape_ascii(), message.escape_ascii());
            Err(Fault::new(Kind::Status, detail))
        }
        None => Err(Fault::new(Kind::Malformed, "no grpc-status")),
    }
}

fn wrong(reply: &[u8]) -> Fault {
    let start = &reply[..reply.len().min(60)];
    let detail = format!("{} bytes that answer no or another call: {}", reply.len(), start.escape_ascii());
    Fault::new(Kind::Body, detail)
}

fn broken(error: h2::Error) -> Fault {
    Fault::new(Kind::Io, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_reply_carries_the_serial_number() {
        let parts = Numbered::new(parts());
        assert_eq!(parts.serial_at.len(), PARTS as usize);
        let wire = parts.with(42);
        assert_eq!(wire.windows(10).filter(|bytes| *bytes == b"0000000042").count(), PARTS as usize);
        assert!(wire.windows(10).all(|bytes| bytes != SERIAL.as_bytes()));
    }

    #[test]
    fn a_unary_call_carries_fifty_items_of_ten_bytes() {
        let wire = Numbered::new(unary()).with(7);
        assert_eq!(wire.len(), 5 + ITEMS * 12);
        assert!(wire.starts_with(b"\0\0\0\x02\x58\x0a\x0a0000000007\x0a\x0aitem 00001"));
    }
}
