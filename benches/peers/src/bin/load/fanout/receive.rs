//! Reads without blocking.

use std::net::TcpStream;

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};
use windlass_cli::client::fault::{Fault, Kind};

/// Capacity reserved for one read.
const READ_BYTES: usize = 16 * 1024;

/// Appends the bytes of one read. Appends nothing if no bytes are available.
pub(super) fn receive(stream: &TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    input.reserve(READ_BYTES);
    match recv(stream, spare_capacity(input), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Fault::new(Kind::Closed, "server closed the connection")),
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(Fault::new(Kind::Io, format_args!("read failed: {error}"))),
    }
}
