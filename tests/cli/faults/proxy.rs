//! A proxy that delays, slows down, cuts, resets and half-closes. The seed determines the faults of the n-th
//! connection.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

use super::dice::Dice;
use crate::common::TIMEOUT;

/// A fault occurs within this number of bytes of a connection.
const REACH: usize = 4000;
/// Number of bytes of each piece that are sent one by one. The rest is sent at once.
const DRIPS: usize = 64;

/// Fault of one direction of a connection.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Delays each piece by some milliseconds.
    Delay,
    /// Sends the first bytes of each piece one by one.
    Drip,
    /// Ends both directions after this number of bytes, with a FIN.
    Cut(usize),
    Reset(usize),
    /// Ends this direction after this number of bytes; the other one continues.
    HalfClose(usize),
}

impl Fault {
    fn choose(dice: &mut Dice) -> Self {
        let at = 1 + dice.below(REACH);
        match dice.below(9) {
            0..3 => Self::None,
            3 => Self::Delay,
            4 => Self::Drip,
            5 | 6 => Self::Cut(at),
            7 => Self::Reset(at),
            _ => Self::HalfClose(at),
        }
    }

    /// Returns the number of bytes forwarded before the fault occurs.
    fn bytes_before_fault(self) -> usize {
        match self {
            Self::Cut(at) | Self::Reset(at) | Self::HalfClose(at) => at,
            Self::None | Self::Delay | Self::Drip => usize::MAX,
        }
    }
}

/// A proxy between clients and a server, stopped on drop.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    pub(super) fn start(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if stopped.load(SeqCst) {
                    break;
                }
                connect_through(client.unwrap(), server, Dice::new(seed, number));
            }
        });
        Self { address, stop }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn connect_through(client: TcpStream, server: SocketAddr, mut dice: Dice) {
    let server = TcpStream::connect(server).unwrap();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    }
    let is_reset = Arc::new(AtomicBool::new(false));
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let fault = Fault::choose(&mut dice);
        let pump = Pump { from, to, fault, dice: dice.clone(), is_reset: is_reset.clone() };
        thread::spawn(move || pump.run());
    }
}

/// Forwards one direction of a connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    fault: Fault,
    dice: Dice,
    /// Set once both directions must end without a FIN.
    is_reset: Arc<AtomicBool>,
}

impl Pump {
    fn run(mut self) {
        let (mut buffer, mut remaining) = ([0; 4096], self.fault.bytes_before_fault());
        while remaining > 0 {
            let Ok(count @ 1..) = self.from.read(&mut buffer) else { break };
            let count = count.min(remaining);
            if !self.forward(&buffer[..count]) {
                break;
            }
            remaining -= count;
        }
        if remaining == 0 {
            self.inject();
        } else if !self.is_reset.load(SeqCst) {
            let _ = self.to.shutdown(Shutdown::Write);
        }
    }

    /// Forwards a piece. Returns `false` if the receiver is gone.
    fn forward(&mut self, piece: &[u8]) -> bool {
        match self.fault {
            Fault::Delay => {
                thread::sleep(Duration::from_millis(self.dice.below(10) as u64));
                self.to.write_all(piece).is_ok()
            }
            Fault::Drip => {
                let (drips, rest) = piece.split_at(piece.len().min(DRIPS));
                drips.iter().all(|byte| self.to.write_all(&[*byte]).is_ok())
                    && self.to.write_all(rest).is_ok()
            }
            _ => self.to.write_all(piece).is_ok(),
        }
    }

    fn inject(&mut self) {
        match self.fault {
            Fault::HalfClose(_) => {
                let _ = self.to.shutdown(Shutdown::Write);
                // Reads and discards the rest: a full window would be another fault.
                while self.from.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            }
            Fault::Reset(_) => {
                self.is_reset.store(true, SeqCst);
                for stream in [&self.from, &self.to] {
                    // The last close sends a reset; the read of the other direction ends at once.
                    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                    let _ = stream.shutdown(Shutdown::Read);
                }
            }
            _ => {
                for stream in [&self.from, &self.to] {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}
