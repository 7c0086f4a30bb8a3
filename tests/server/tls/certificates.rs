//! Reloading certificates at run time: no request fails, and an invalid pair changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustls::pki_types::CertificateDer;
use windlass::{Listen, Server, Tls, TlsError, actors::Cores};

use super::{
    TlsServer,
    client::{Client, trusting},
    pair, routes,
};
use crate::common::{address, base_builder, eventually};

/// A temporary folder, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(folder: &Folder, (chain, key): &(String, String)) {
    fs::write(folder.file("cert.pem"), chain).unwrap();
    fs::write(folder.file("key.pem"), key).unwrap();
}

fn from_files(folder: &Folder) -> Result<Tls, TlsError> {
    Tls::from_files(folder.file("cert.pem"), folder.file("key.pem"))
}

fn serve(tls: Tls) -> Server {
    let listen: Listen = "127.0.0.1:0".parse().unwrap();
    base_builder().cores(Cores::Unpinned(2)).router(routes()).listen_tls(listen, tls).start().unwrap()
}

/// Returns the certificate that the server presents to a new connection; `pairs` holds the candidates to
/// trust.
fn presented_certificate(server: &Server, pairs: &[(String, String)]) -> CertificateDer<'static> {
    let trust =
        |(chain, _): &(String, String)| Client::connect_if(address(server), &Arc::new(trusting(chain)));
    let client = pairs.iter().find_map(trust).expect("the server must present one of the pairs");
    client.tls.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn ten_reloads_under_load_fail_no_request_and_drop_no_connection() {
    let folder = Folder::new("reloads");
    let pairs: Vec<_> = (0..11).map(|_| pair("localhost")).collect();
    write(&folder, &pairs[0]);
    let server = serve(from_files(&folder).unwrap());
    let mut config = trusting(&pairs[0].0);
    // Trusts all pairs and makes a full handshake for each connection.
    let mut roots = rustls::RootCertStore::empty();
    for (chain, _) in &pairs {
        use rustls::pki_types::pem::PemObject;
        roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let fresh = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.clone_from(&fresh);
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let (stop, old_replies, new_replies) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address(&server), &config);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/inline").text(), "inline", "no connection may be dropped");
                    old_replies.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(Client::connect(address(&server), &config).get("/static").text(), "static");
                    new_replies.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for pair in &pairs[1..] {
            let (old_before, new_before) =
                (old_replies.load(Ordering::Relaxed), new_replies.load(Ordering::Relaxed));
            write(&folder, pair);
            assert_eq!(server.reload_tls().unwrap(), 1);
            let mut client = Client::connect(address(&server), &Arc::new(trusting(&pair.0)));
            assert_eq!(client.get("/static").text(), "static", "new connections must get the new pair");
            eventually("requests continue on old and new connections", || {
                old_replies.load(Ordering::Relaxed) > old_before + 4
                    && new_replies.load(Ordering::Relaxed) > new_before + 2
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let served: usize = old_replies.into_inner() + new_replies.into_inner();
    assert!(server.metrics().requests as usize >= served);
}

#[test]
fn an_invalid_new_pair_is_refused_with_its_file_name_and_the_old_one_stays() {
    let folder = Folder::new("bad");
    let (good, other) = (pair("localhost"), pair("localhost"));
    write(&folder, &good);
    let server = serve(from_files(&folder).unwrap());
    let before = presented_certificate(&server, std::slice::from_ref(&good));
    let cert = folder.file("cert.pem").display().to_string();
    let key = folder.file("key.pem").display().to_string();
    for (chain, private, names, what) in [
        (&other.0, &good.1, vec![&cert, &key], "does not match"),
        (&String::new(), &good.1, vec![&cert], "no PEM section CERTIFICATE"),
        (&good.0, &"rubbish".to_owned(), vec![&key], "no PEM section PRIVATE KEY"),
        (&good.0[..good.0.len() / 2].to_owned(), &good.1, vec![&cert], "has no end line"),
    ] {
        write(&folder, &(chain.clone(), private.clone()));
        let error = server.reload_tls().unwrap_err().to_string();
        assert!(error.contains(what) && names.iter().all(|name| error.contains(*name)), "{error}");
        assert!(!error.contains('\n') && !error.contains("BEGIN"), "{error}");
        assert_eq!(presented_certificate(&server, std::slice::from_ref(&good)), before);
    }
    fs::remove_file(Path::new(&cert)).unwrap();
    assert!(matches!(server.reload_tls().unwrap_err(), TlsError::Read { .. }));
    write(&folder, &other);
    assert_eq!(server.reload_tls().unwrap(), 1);
    assert_ne!(presented_certificate(&server, &[good, other]), before);
}

#[test]
fn reloads_are_counted_by_result() {
    let served = TlsServer::new();
    let (chain, key) = pair("localhost");
    served.tls.replace(chain.as_bytes(), key.as_bytes()).unwrap();
    served.tls.replace(chain.as_bytes(), b"").unwrap_err();
    assert_eq!(served.metric("windlass_tls_reloads_total{result=\"ok\"}"), 1.0);
    assert_eq!(served.metric("windlass_tls_reloads_total{result=\"refused\"}"), 1.0);
    assert_eq!(served.server.reload_tls().unwrap(), 0, "a pair from memory has no files to reload");
}

#[test]
fn rsa_keys_and_all_pem_key_formats_are_accepted() {
    let ecdsa = pair("localhost");
    let Ok(sec1) = openssl(&["ec"], &ecdsa.1) else { return };
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    Tls::from_pem(ecdsa.0.as_bytes(), sec1.as_bytes()).unwrap();
    let generated =
        openssl(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=t", "-keyout", "-"], "");
    let both = generated.unwrap();
    let pkcs1 = openssl(&["rsa", "-traditional"], &both).unwrap();
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"), "{pkcs1}");
    // A file with the key and the chain serves as both.
    for key in [&both, &pkcs1] {
        Tls::from_pem(both.as_bytes(), key.as_bytes()).unwrap();
    }
}

/// Runs openssl on the input. Returns an error if openssl is not installed.
fn openssl(arguments: &[&str], input: &str) -> std::io::Result<String> {
    use std::{io::Write, process::*};
    let mut command = Command::new("openssl");
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    child.stdin.take().unwrap().write_all(input.as_bytes())?;
    Ok(String::from_utf8(child.wait_with_output()?.stdout).unwrap())
}
