//! A bare read-respond-write loop on tokio's epoll reactor. It measures the cost of the hyper-based peers
//! without hyper.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use windlass_peers::{
    bare::{Action, Exchange},
    workload,
};

/// Free capacity of the input buffer before a read.
const READ_BYTES: usize = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(workload::listen_address()?).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

// Connection errors are ignored: the load generator counts them.
async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = converse(stream).await;
}

async fn converse(mut stream: TcpStream) -> io::Result<()> {
    let mut exchange = Exchange::new();
    let (mut input, mut out) = (Vec::with_capacity(READ_BYTES), Vec::with_capacity(READ_BYTES));
    loop {
        input.reserve(READ_BYTES);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        exchange.tick();
        let then = answer(&exchange, &mut input, &mut out).await;
        stream.write_all(&out).await?;
        out.clear();
        // Publish, subscribe and WebSocket requests are not supported: the connection is closed.
        if then != Action::Read {
            return Ok(());
        }
    }
}

async fn answer(exchange: &Exchange, input: &mut Vec<u8>, out: &mut Vec<u8>) -> Action {
    loop {
        let (used, then) = exchange.serve(input, out);
        input.drain(..used);
        let Action::Work(time) = then else { return then };
        tokio::time::sleep(time).await;
        exchange.after_work(out);
    }
}
