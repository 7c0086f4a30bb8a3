//! Connections, and faults of their sockets.

use std::{io, net::SocketAddr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
};

use crate::client::fault::{Fault, Kind};

/// Least room for one read.
const READ_BYTES: usize = 16 * 1024;
/// Most bytes of one answer that are believed.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Connects.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Fault> {
    connect_with(address, None).await
}

/// Connects with a receive buffer of this size, if one is given.
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

/// Appends what one read gives.
///
/// # Errors
///
/// The server closed the connection, reading failed, or there is more than anybody believes.
pub(super) async fn receive(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), Fault> {
    if input.len() > MAX_ANSWER_BYTES {
        return Err(Fault::new(Kind::Malformed, "an answer of more than 64 MiB"));
    }
    input.reserve(READ_BYTES);
    match stream.read_buf(input).await {
        Ok(0) => Err(Fault::new(Kind::Closed, "the server closed the connection")),
        Ok(_) => Ok(()),
        Err(error) => Err(broken(&error)),
    }
}

/// Makes a fault of what reading or writing says.
pub(super) fn broken(error: &io::Error) -> Fault {
    Fault::new(Kind::Io, error)
}
