//~ the trait bound `windlass::Listen: From<u16>` is not satisfied
use windlass::{Builder, Server};

pub fn builder() -> Builder {
    Server::builder().listen(8080_u16)
}
