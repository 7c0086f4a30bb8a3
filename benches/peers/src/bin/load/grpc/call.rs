//! Request and expected response of a call.

use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use windlass_cli::client::{
    fault::{Fault, Kind},
    http2::Sender,
};
use windlass_peers::echo::{self, ITEMS, Items, Order, PARTS};

use crate::options::Method;

/// Placeholder of the serial number, with the length of an item.
const SERIAL: &str = "##########";

/// Call that is made repeatedly.
///
/// Each call has a serial number that the response must contain, so that the response to another call is
/// detected.
#[derive(Debug)]
pub(crate) struct Call {
    head: Request<()>,
    request: Numbered,
    response: Numbered,
}

impl Call {
    pub(crate) fn new(method: Method, scheme: &str) -> Result<Self, http::Error> {
        let (path, request, response) = match method {
            Method::Unary => (echo::UNARY, unary(), unary()),
            Method::Stream => (echo::SERVER_STREAM, order(), parts()),
        };
        let head = Request::post(format!("{scheme}://localhost{path}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(())?;
        Ok(Self { head, request: Numbered::new(request), response: Numbered::new(response) })
    }

    /// Makes the call and checks the whole response.
    pub(crate) async fn make(&self, mut sender: Sender, serial: u64) -> Result<(), Fault> {
        sender.ready().await?;
        let mut reply = sender.request(self.head.clone(), self.request.with(serial).into()).await?;
        check_head(&reply.head)?;
        let mut response = Vec::with_capacity(self.response.wire.len());
        while let Some(data) = reply.data().await? {
            response.extend_from_slice(&data);
            if response.len() > self.response.wire.len() {
                return Err(Fault::new(Kind::Body, "response exceeds the expected length"));
            }
        }
        let trailers = reply.trailers().await?;
        check_status(trailers.as_ref().unwrap_or(reply.head.headers()))?;
        if response == self.response.with(serial) { Ok(()) } else { Err(unexpected(&response)) }
    }
}

/// Frames of one or more messages that contain a serial number.
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

fn check_head(head: &Response<()>) -> Result<(), Fault> {
    if head.status() != 200 {
        return Err(Fault::new(Kind::Status, format_args!("HTTP status {}", head.status())));
    }
    let content_type = head.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !content_type.starts_with(b"application/grpc") {
        return Err(Fault::new(Kind::Malformed, "content-type is not application/grpc"));
    }
    Ok(())
}

/// Checks the status in the trailers, or in the head if there are no trailers.
fn check_status(fields: &HeaderMap) -> Result<(), Fault> {
    match fields.get("grpc-status").map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(status) => {
            let message = fields.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
            let detail = format!("grpc-status {}: {}", status.escape_ascii(), message.escape_ascii());
            Err(Fault::new(Kind::Status, detail))
        }
        None => Err(Fault::new(Kind::Malformed, "missing grpc-status")),
    }
}

fn unexpected(response: &[u8]) -> Fault {
    let start = &response[..response.len().min(60)];
    let detail = format!("{} bytes do not match the request: {}", response.len(), start.escape_ascii());
    Fault::new(Kind::Body, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_response_contains_the_serial_number() {
        let parts = Numbered::new(parts());
        assert_eq!(parts.serial_at.len(), PARTS as usize);
        let wire = parts.with(42);
        assert_eq!(wire.windows(10).filter(|bytes| *bytes == b"0000000042").count(), PARTS as usize);
        assert!(wire.windows(10).all(|bytes| bytes != SERIAL.as_bytes()));
    }

    #[test]
    fn a_unary_call_has_fifty_items_of_ten_bytes() {
        let wire = Numbered::new(unary()).with(7);
        assert_eq!(wire.len(), 5 + ITEMS * 12);
        assert!(wire.starts_with(b"\0\0\0\x02\x58\x0a\x0a0000000007\x0a\x0aitem 00001"));
    }
}
