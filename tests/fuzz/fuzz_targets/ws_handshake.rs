//! Accepts arbitrary header fields; an accepted handshake must have a valid response that matches the
//! client's offer.
#![no_main]

use http::{Method, Version, header};
use libfuzzer_sys::fuzz_target;
use windlass::{
    http,
    proto::ws::{Opening, Origins, Policy, Subprotocols, accept, deflate::Settings},
};

const NAMES: [&[u8]; 8] = [
    b"upgrade",
    b"connection",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"origin",
    b"sec-websocket-protocol",
    b"sec-websocket-extensions",
    b"host",
];

/// Valid fields; the fuzzer may leave some out and adds its own.
const VALID_FIELDS: [(&[u8], &[u8]); 4] = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
];

fuzz_target!(|data: &[u8]| {
    let [left_out, lines @ ..] = data else { return };
    let valid = VALID_FIELDS
        .iter()
        .enumerate()
        .filter(|(index, _)| left_out >> index & 1 == 0)
        .map(|(_, field)| *field);
    let own = lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let (first, value) = line.split_first()?;
        Some((NAMES[usize::from(*first) % NAMES.len()], value))
    });
    let opening = Opening {
        method: &Method::GET,
        version: Version::HTTP_11,
        authority: Some(b"a.example"),
        protocol: None,
    };
    let policy = Policy {
        origins: Origins::Same,
        subprotocols: Subprotocols::Supported(vec!["b".into(), "a".into()]),
        deflate: Some(Settings::default()),
    };
    let Ok(accepted) = accept(&opening, valid.chain(own.clone()), &policy) else { return };
    assert!(accepted.headers.contains_key(header::SEC_WEBSOCKET_ACCEPT));
    let extensions = accepted.headers.get(header::SEC_WEBSOCKET_EXTENSIONS);
    assert_eq!(extensions.is_some(), accepted.deflate.is_some());
    if let Some(params) = accepted.deflate {
        assert!(
            (9..=15).contains(&params.server.window_bits) && (9..=15).contains(&params.client.window_bits)
        );
    }
    if let Some(protocol) = accepted.protocol {
        let offered = own.filter(|(name, _)| *name == b"sec-websocket-protocol");
        assert!(
            offered
                .flat_map(|(_, value)| value.windows(1).map(<[u8]>::to_vec))
                .any(|at| at == protocol.as_bytes())
        );
    }
});
