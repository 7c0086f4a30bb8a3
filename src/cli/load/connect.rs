//! TCP connections.

use std::{io, net::SocketAddr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
};

use crate::client::fault::{Fault, Kind};

/// Capacity reserved for one read.
const READ_BYTES: usize = 16 * 1024;
/// Maximum size of the buffered input, in bytes. More is reported as a malformed response.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Connects to a server.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Fault> {
    connect_with(address, None).await
}

/// Connects to a server with a receive buffer of the given size.
pub(super) async fn connect_with(
    address: SocketAddr,
    receive_bytes: Option<u32>,
) -> Result<TcpStream, Fault> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let connected = async {
        let socket = socket?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connected.await.map_err(|error: io::Error| Fault::new(Kind::Connect, error))
}

/// Waits for input and appends the bytes of one read.
///
/// # Errors
///
/// The server closed the connection, the read failed, or the response is too long.
pub(super) async fn receive(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    if input.len() > MAX_RESPONSE_BYTES {
        return Err(Fault::new(Kind::Malformed, "received response exceeds 64 MiB"));
    }
    input.reserve(READ_BYTES);
    match stream.read_buf(input).await {
        Ok(0) => Err(Fault::new(Kind::Closed, "server closed the connection")),
        Ok(_) => Ok(()),
        Err(error) => Err(io_fault(&error)),
    }
}

/// Returns the fault of a failed read or write.
pub(super) fn io_fault(error: &io::Error) -> Fault {
    Fault::new(Kind::Io, error)
}
