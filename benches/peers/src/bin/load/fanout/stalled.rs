//! Subscribers that never read. The server must deliver to the other subscribers regardless of them.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketType, connect, socket, sockopt::set_socket_recv_buffer_size},
};

use windlass_cli::client::{
    fault::{Fault, Kind},
    response,
    totals::Totals,
};

use super::{PATH, Transport};
use crate::{options::Options, refused, setup::read_until};

/// Size of a stalled subscriber's receive buffer. It is fixed to the kernel's minimum, so that it never
/// grows.
const RECEIVE_BYTES: usize = 4096;
/// Size of a filler event, which fills the buffers on the path to stalled subscribers.
const FILLER_BYTES: usize = 32 * 1024;
/// Number of filler events: more than the socket buffers and the server's queues hold.
const FILLERS: usize = 256;

/// Opens the configured number of stalled subscriptions and publishes until the buffers on their paths are
/// full.
pub(super) fn subscribe(options: &Options, transport: Transport) -> io::Result<Vec<TcpStream>> {
    let target = options.target_of(0);
    let streams = (0..options.stalled).map(|_| stalled(transport, target)).collect::<io::Result<Vec<_>>>()?;
    if !streams.is_empty() {
        let mut publisher = TcpStream::connect_timeout(&target, options.timeout)?;
        publisher.set_read_timeout(Some(options.timeout))?;
        (0..FILLERS).try_for_each(|_| publish_filler(&mut publisher, target))?;
    }
    Ok(streams)
}

fn stalled(transport: Transport, target: SocketAddr) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    // Set before the handshake, which fixes the maximum window (tcp(7)).
    set_socket_recv_buffer_size(&socket, RECEIVE_BYTES)?;
    connect(&socket, &target)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(&transport.request(target))?;
    // The subscription exists once the response head has arrived.
    stream.peek(&mut [0])?;
    Ok(stream)
}

fn publish_filler(publisher: &mut TcpStream, host: SocketAddr) -> io::Result<()> {
    let mut request =
        format!("POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {FILLER_BYTES}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + FILLER_BYTES, b'f');
    publisher.write_all(&request)?;
    let status = |input: &[u8]| Ok(response::parse(input)?.map(|response| response.status));
    match read_until(publisher, &mut Vec::new(), status).map_err(refused)? {
        200..300 => Ok(()),
        status => {
            let detail = format_args!("publishing a filler event failed with status {status}");
            Err(refused(Fault::new(Kind::Status, detail)))
        }
    }
}

/// Counts stalled subscriptions that the server has closed; without them the load would be a different one.
pub(super) fn check(streams: &[TcpStream], totals: &mut Totals) {
    let ended = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    for stream in streams {
        let mut fds = [PollFd::new(stream, ended)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) => {}
            Ok(_) => totals.failed(&Fault::new(Kind::Closed, "server closed a stalled subscription"), 1),
            Err(error) => totals.failed(&Fault::new(Kind::Io, error), 1),
        }
    }
}
