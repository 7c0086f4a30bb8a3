//! Early responses over TLS.

use super::TlsServer;
use crate::lingering::{EARLY, request, routes};

#[test]
fn a_client_that_sends_its_whole_body_first_gets_the_early_response() {
    let served = TlsServer::with(|builder| builder.router(routes()));
    for (method, path, status) in EARLY {
        for chunked in [false, true] {
            let mut client = served.client();
            let what = format!("{method} {path}, chunked: {chunked}");
            client.try_send(request(method, path, chunked)).expect(&what);
            assert_eq!(client.reply().status, *status, "{what}");
        }
    }
}
