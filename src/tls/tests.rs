//! Tests of a session against a client, in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::{
    io::{Read, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, version};

use super::{Negotiated, Session, SessionError, SessionEvent, Tls, TlsError, validity};
use crate::{
    metrics::{TlsProtocol, TlsVersion},
    net::Outbox,
};

/// Creates a self-signed certificate. Returns the chain and the key as PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn tls() -> (Tls, String) {
    let (chain, key) = pair();
    (Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap(), chain)
}

fn client_config(chain: &str, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A client, a session of the server, and the events of the session.
struct Ends {
    client: ClientConnection,
    server: Session,
    plain: Outbox,
    wire: Outbox,
    scratch: Vec<u8>,
    negotiated: Vec<Negotiated>,
    data: Vec<u8>,
    ended: bool,
    /// Plaintext that the client has received.
    read: Vec<u8>,
}

impl Ends {
    fn new(tls: &Tls, config: &Arc<ClientConfig>) -> Self {
        let mut client = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        client.set_buffer_limit(None);
        Self {
            client,
            server: tls.acceptor(true).begin().unwrap(),
            plain: Outbox::default(),
            wire: Outbox::default(),
            scratch: Vec::new(),
            negotiated: Vec::new(),
            data: Vec::new(),
            ended: false,
            read: Vec::new(),
        }
    }

    /// Passes bytes to the server in pieces of `piece` bytes.
    fn receive(&mut self, bytes: &[u8], piece: usize) -> Result<(), SessionError> {
        let Self { server, wire, scratch, negotiated, data, ended, .. } = self;
        for piece in bytes.chunks(piece) {
            server.receive(piece, wire, scratch, |event| match event {
                SessionEvent::Negotiated(result) => negotiated.push(result),
                SessionEvent::Data(bytes) => data.extend_from_slice(bytes),
                SessionEvent::CloseNotify => *ended = true,
            })?;
        }
        Ok(())
    }

    fn sent_by_client(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn sent_by_server(&mut self) -> Vec<u8> {
        let bytes = self.wire.slices().flatten().copied().collect();
        self.wire.clear();
        bytes
    }

    /// Passes bytes to the client and collects its plaintext.
    fn give_client(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().unwrap();
            // This returns "would block" when no plaintext is left.
            let _ = self.client.reader().read_to_end(&mut self.read);
        }
    }

    /// Moves bytes in both directions until there are none.
    fn exchange(&mut self, piece: usize) {
        loop {
            let bytes = self.sent_by_client();
            self.receive(&bytes, piece).unwrap();
            let answer = self.sent_by_server();
            self.give_client(&answer);
            if bytes.is_empty() && answer.is_empty() {
                return;
            }
        }
    }

    fn seal(&mut self) {
        self.server.seal(&mut self.plain, &mut self.wire, &mut self.scratch).unwrap();
    }

    /// Returns the plaintext that the client has received since the last call.
    fn client_read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }
}

#[test]
fn handshake_and_data_arrive_in_pieces_of_any_size() {
    let (tls, chain) = tls();
    for version in [&version::TLS12, &version::TLS13] {
        for piece in [1, 7, 1000, usize::MAX] {
            let config = Arc::new(client_config(&chain, version));
            let mut ends = Ends::new(&tls, &config);
            ends.exchange(piece);
            let expected = if version == &version::TLS12 { TlsVersion::Tls12 } else { TlsVersion::Tls13 };
            let expected = Negotiated { version: expected, protocol: TlsProtocol::None, resumed: false };
            assert_eq!(ends.negotiated, [expected], "{piece}");
            for round in 0..3 {
                ends.client.writer().write_all(&[b'a' + round; 40_000]).unwrap();
            }
            ends.exchange(piece);
            assert_eq!(ends.data.len(), 120_000);
            assert!((0..3).all(|round| ends.data[usize::from(round) * 40_000] == b'a' + round));
            assert!(ends.server.partial.capacity() == 0, "an idle session holds a buffer");
            ends.plain.buffer().extend_from_slice(b"head");
            ends.plain.share(vec![b'x'; 30_000].into());
            ends.seal();
            ends.exchange(piece);
            let read = ends.client_read();
            assert_eq!((read.len(), &read[..5]), (30_004, &b"headx"[..]));
        }
    }
}

#[test]
fn small_replies_share_a_record_and_large_ones_wait_as_plaintext() {
    let (tls, chain) = tls();
    let mut ends = Ends::new(&tls, &Arc::new(client_config(&chain, &version::TLS13)));
    ends.exchange(usize::MAX);
    ends.plain.buffer().extend_from_slice(&[b'h'; 100]);
    ends.plain.share(vec![b'b'; 16_284].into());
    ends.seal();
    let wire = ends.sent_by_server();
    assert_eq!(wire.len(), 16_384 + 22, "not one record");
    ends.give_client(&wire);
    assert_eq!(ends.client_read().len(), 16_384);
    let body = vec![b'x'; 1 << 20];
    ends.plain.share(body.clone().into());
    let mut read = Vec::new();
    while !ends.plain.is_empty() || ends.server.unsealed() > 0 {
        ends.seal();
        assert!(ends.wire.len() <= 64 * 1024 && ends.wire.buffer().capacity() <= 64 * 1024);
        let wire = ends.sent_by_server();
        assert!(!wire.is_empty());
        ends.give_client(&wire);
        read.extend(ends.client_read());
    }
    assert!(read == body);
}

#[test]
fn sessions_resume_in_both_versions_and_after_a_replacement() {
    for version in [&version::TLS12, &version::TLS13] {
        let (tls, chain) = tls();
        let config = Arc::new(client_config(&chain, version));
        for resumed in [false, true, true] {
            let mut ends = Ends::new(&tls, &config);
            ends.exchange(usize::MAX);
            assert_eq!(ends.negotiated[0].resumed, resumed);
            assert_eq!(ends.client.handshake_kind() == Some(HandshakeKind::Resumed), resumed);
            let (chain, key) = pair();
            tls.replace(chain.as_bytes(), key.as_bytes()).unwrap();
        }
    }
}

#[test]
fn alpn_selects_a_protocol_or_refuses() {
    let (tls, chain) = tls();
    let mut config = client_config(&chain, &version::TLS13);
    for (asked, http2, agreed) in [
        (&["h2", "http/1.1"][..], true, TlsProtocol::H2),
        (&["http/1.1", "h2"], true, TlsProtocol::H2),
        (&["h2", "http/1.1"], false, TlsProtocol::Http11),
        (&["http/1.1"], true, TlsProtocol::Http11),
        (&["http/1.0"], true, TlsProtocol::Http11),
        (&["http/1.0", "http/1.1"], false, TlsProtocol::Http11),
    ] {
        config.alpn_protocols = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut ends = Ends::new(&tls, &Arc::new(config.clone()));
        ends.server = tls.acceptor(http2).begin().unwrap();
        ends.exchange(usize::MAX);
        assert_eq!(ends.negotiated[0].protocol, agreed, "{asked:?}");
    }
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut ends = Ends::new(&tls, &Arc::new(config));
    let hello = ends.sent_by_client();
    assert_eq!(ends.receive(&hello, usize::MAX).unwrap_err().label, "no_application_protocol");
    let answer = ends.sent_by_server();
    ends.client.read_tls(&mut &answer[..]).unwrap();
    let error = ends.client.process_new_packets().unwrap_err();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol));
}

#[test]
fn close_notify_ends_each_direction_and_later_bytes_are_ignored() {
    let (tls, chain) = tls();
    for version in [&version::TLS12, &version::TLS13] {
        let mut ends = Ends::new(&tls, &Arc::new(client_config(&chain, version)));
        ends.exchange(usize::MAX);
        ends.client.writer().write_all(b"last").unwrap();
        ends.client.send_close_notify();
        let mut bytes = ends.sent_by_client();
        bytes.extend_from_slice(b"\x17\x03\x03\x00\x05xxxxx and no record at all");
        ends.receive(&bytes, usize::MAX).unwrap();
        ends.receive(&bytes, 1).unwrap();
        assert_eq!((ends.data.as_slice(), ends.ended), (&b"last"[..], true));
        ends.plain.buffer().extend_from_slice(b"answer");
        ends.seal();
        ends.server.close(&mut ends.wire);
        let wire = ends.sent_by_server();
        ends.give_client(&wire);
        assert_eq!(ends.client_read(), b"answer");
        let mut rest = Vec::new();
        assert_eq!(ends.client.reader().read_to_end(&mut rest).unwrap(), 0, "no close_notify arrived");
    }
}

#[test]
fn a_key_update_is_answered() {
    let (tls, chain) = tls();
    let mut ends = Ends::new(&tls, &Arc::new(client_config(&chain, &version::TLS13)));
    ends.exchange(usize::MAX);
    for round in 0..3 {
        ends.client.refresh_traffic_keys().unwrap();
        ends.client.writer().write_all(b"after").unwrap();
        ends.exchange(usize::MAX);
        ends.plain.buffer().extend_from_slice(b"reply");
        ends.seal();
        ends.exchange(usize::MAX);
        assert_eq!(ends.client_read(), b"reply", "{round}");
    }
    assert_eq!(ends.data, b"after".repeat(3));
}

#[test]
fn invalid_bytes_cause_an_error_and_an_alert_but_no_panic() {
    let (tls, chain) = tls();
    let config = Arc::new(client_config(&chain, &version::TLS13));
    let (mut refused, mut alerts) = (0, 0);
    // Every byte of the hello is changed once. Then the hello is split into records of a few bytes.
    let hello = Ends::new(&tls, &config).sent_by_client();
    for at in 0..hello.len() {
        let mut bytes = hello.clone();
        bytes[at] ^= 0x55;
        let mut ends = Ends::new(&tls, &config);
        if ends.receive(&bytes, usize::MAX).is_err() {
            refused += 1;
            // Bytes that are not a record get no alert.
            let answer = ends.sent_by_server();
            assert!(answer.first().is_none_or(|kind| matches!(kind, 21 | 22)), "at {at}: {answer:?}");
            alerts += usize::from(!answer.is_empty());
        }
    }
    assert!(refused > 10 && alerts > refused / 2, "{alerts} alerts of {refused}");
    let mut ends = Ends::new(&tls, &config);
    let hello = ends.sent_by_client();
    let fragments: Vec<u8> =
        hello[5..].chunks(3).flat_map(|part| [&[22, 3, 1, 0, part.len() as u8], part].concat()).collect();
    ends.receive(&fragments, 2).unwrap();
    let answer = ends.sent_by_server();
    ends.give_client(&answer);
    ends.exchange(1);
    assert_eq!(ends.negotiated.len(), 1, "a fragmented hello was refused");
    // A record that was changed on the way.
    ends.client.writer().write_all(b"data").unwrap();
    let mut bytes = ends.sent_by_client();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(ends.receive(&bytes, usize::MAX).unwrap_err().label, "decrypt_error");
    assert_eq!((ends.data.len(), ends.sent_by_server()[0]), (0, 23), "not an encrypted alert");
}

#[test]
fn the_length_of_a_hello_is_limited() {
    let (tls, chain) = tls();
    let config = Arc::new(client_config(&chain, &version::TLS13));
    let mut ends = Ends::new(&tls, &config);
    // A handshake message of 64 KiB in records of one byte.
    ends.receive(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff], usize::MAX).unwrap();
    let mut sent = 0;
    let failure = loop {
        match ends.receive(&[22, 3, 1, 0, 1, 0].repeat(100), usize::MAX) {
            Ok(()) => sent += 600,
            Err(failure) => break failure,
        }
        assert!(sent < 1 << 20, "there is no limit");
    };
    assert!(ends.server.partial.len() <= 128 * 1024, "{failure:?} after {sent}");
}

#[test]
fn an_error_names_the_unusable_part() {
    let (chain, key) = pair();
    let (_, other) = pair();
    let error =
        |chain: &str, key: &str| Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error(&chain, &other),
        "the key in the key given does not match the first certificate in the certificate given"
    );
    assert!(error("", &key).contains("no PEM section CERTIFICATE"));
    assert!(error(&chain, "").contains("no PEM section PRIVATE KEY"));
    assert!(error(&chain, &chain).contains("no PEM section PRIVATE KEY"));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(error(&chain, &encrypted).contains("encrypted"), "{}", error(&chain, &encrypted));
    assert!(error(&chain[..chain.len() / 2], &key).contains("has no end line"));
    assert!(
        error("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key).contains("certificate")
    );
    let missing = Tls::from_files("/nowhere/cert.pem", "/nowhere/key.pem").unwrap_err().to_string();
    assert!(missing.contains("/nowhere/cert.pem") && missing.contains("No such file"), "{missing}");
    let bytes = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(matches!(bytes.reload(), Err(TlsError::NoFiles)));
    assert!(bytes.expires().is_some());
}

#[test]
fn a_truncated_certificate_has_no_validity() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2024, 2, 29), rcgen::date_time_ymd(2051, 1, 1));
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(validity::of(certificate.der()), Some(at(1_709_164_800)..at(2_556_144_000)));
    for length in 0..certificate.der().len() {
        assert_eq!(validity::of(&certificate.der()[..length]), None, "{length}");
    }
}
