//! A network that delays, drips, cuts, resets and half-closes; what it does to the n-th connection follows from the seed.

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
use crate::common::PATIENCE;

/// Bytes of a connection within which a fault strikes.
const REACH: usize = 4000;
/// Most bytes that are handed on one by one, of each piece: what is behind them is long enough to be cut by chance.
const DRIPS: usize = 64;

/// What happens to one direction of a connection.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Each piece waits for some milliseconds.
    Delay,
    /// Pieces arrive byte by byte.
    Drip,
    /// After so many bytes both directions end: with a FIN, or with a reset.
    Cut(usize),
    Reset(usize),
    /// After so many bytes this direction ends; the other goes on.
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

    /// Returns how many bytes pass before it strikes.
    fn room(self) -> usize {
        match self {
            Self::Cut(at) | Self::Reset(at) | Self::HalfClose(at) => at,
            Self::None | Self::Delay | Self::Drip => usize::MAX,
        }
    }
}

/// Stands between clients and a server until it is dropped.
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
        // Whoever accepts looks.
        let _ = TcpStream::connect(self.address);
    }
}

fn connect_through(client: TcpStream, server: SocketAddr, mut dice: Dice) {
    let server = TcpStream::connect(server).unwrap();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    let is_reset = Arc::new(AtomicBool::new(false));
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let fault = Fault::choose(&mut dice);
        let pump = Pump { from, to, fault, dice: dice.clone(), is_reset: is_reset.clone() };
        thread::spawn(move || pump.run());
    }
}

/// One direction.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    fault: Fault,
    dice: Dice,
    /// Both directions end without a FIN.
    is_reset: Arc<AtomicBool>,
}

impl Pump {
    fn run(mut self) {
        let (mut buffer, mut room) = ([0; 4096], self.fault.room());
        while room > 0 {
            let Ok(count @ 1..) = self.from.read(&mut buffer) else { break };
            let count = count.min(room);
            if !self.hand_on(&buffer[..count]) {
                break;
            }
            room -= count;
        }
        if room == 0 {
            self.strike();
        } else if !self.is_reset.load(SeqCst) {
            let _ = self.to.shutdown(Shutdown::Write);
        }
    }

    /// Says whether there is still somebody to hand on to.
    fn hand_on(&mut self, piece: &[u8]) -> bool {
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

    fn strike(&mut self) {
        match self.fault {
            Fault::HalfClose(_) => {
                let _ = self.to.shutdown(Shutdown::Write);
                // What comes behind is lost on the way; a full window would be another fault than this one.
                while self.from.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            }
            Fault::Reset(_) => {
                self.is_reset.store(true, SeqCst);
                for stream in [&self.from, &self.to] {
                    // The last one to close resets; the other direction's read ends.
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
