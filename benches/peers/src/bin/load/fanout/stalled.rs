//! Subscribers that read nothing: what a server does with them must not concern the others.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketType, connect, socket, sockopt::set_socket_recv_buffer_size},
};

use super::{Form, PATH};
use crate::{
    fault::{Fault, Kind},
    options::Options,
    refused, response,
    tally::Tally,
};

/// Receive buffer of such a subscriber: fixed and as small as the kernel makes it, so that it never grows.
const RECEIVE_BYTES: usize = 4096;
/// An event that fills the ways to them.
const FILLING_BYTES: usize = 32 * 1024;
/// How many of those are published: more than the buffers of a socket and the queues of a server hold.
const FILLINGS: usize = 256;

/// Subscribes as many as asked for and publishes until nothing more goes to them.
pub(super) fn subscribe(options: &Options, form: Form) -> io::Result<Vec<TcpStream>> {
    let target = options.target_of(0);
    let streams = (0..options.stalled).map(|_| stalled(form, target)).collect::<io::Result<Vec<_>>>()?;
    if !streams.is_empty() {
        let mut publisher = TcpStream::connect_timeout(&target, options.timeout)?;
        publisher.set_read_timeout(Some(options.timeout))?;
        (0..FILLINGS).try_for_each(|_| fill(&mut publisher, target))?;
    }
    Ok(streams)
}

fn stalled(form: Form, target: SocketAddr) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    // Before the handshake: it says what the window may become (tcp(7)).
    set_socket_recv_buffer_size(&socket, RECEIVE_BYTES)?;
    connect(&socket, &target)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(&form.request(target))?;
    // Subscribed when the head is there.
    stream.peek(&mut [0])?;
    Ok(stream)
}

fn fill(publisher: &mut TcpStream, host: SocketAddr) -> io::Result<()> {
    let mut request =
        format!("POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {FILLING_BYTES}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + FILLING_BYTES, b'f');
    publisher.write_all(&request)?;
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(response) = response::parse(&input).map_err(refused)? {
            return match response.status {
                200..300 => Ok(()),
                status => Err(refused(Fault::new(
                    Kind::Status,
                    format_args!("a filling event was answered {status}"),
                ))),
            };
        }
        match publisher.read(&mut buffer)? {
            0 => return Err(refused(Fault::new(Kind::Closed, "the server closed a publisher"))),
            length => input.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Counts those that did not stay: without them the load was another one.
pub(super) fn check(streams: &[TcpStream], tally: &mut Tally) {
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    for stream in streams {
        let mut fds = [PollFd::new(stream, gone)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) => {}
            Ok(_) => tally.failed(&Fault::new(Kind::Closed, "the server closed a stalled subscription"), 1),
            Err(error) => tally.failed(&Fault::new(Kind::Io, error), 1),
        }
    }
}
