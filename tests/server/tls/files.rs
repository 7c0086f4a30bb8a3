//! Certificates and keys in all the forms in which other servers accept them, and messages for the others.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use windlass::Tls;

use super::{
    TlsServer,
    client::{Client, trusting},
    pair,
};

/// Loads a pair and serves a request with it.
#[track_caller]
fn is_served(served: &TlsServer, what: &str, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>, trusted: &str) {
    let replaced = served.tls.replace(chain.as_ref(), key.as_ref());
    replaced.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut client = Client::connect(served.address(), &Arc::new(trusting(trusted)));
    assert_eq!(client.get("/inline").status, 200, "{what}");
}

/// Loads a pair that cannot be used. Returns the message.
#[track_caller]
fn refused(what: &str, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>, words: &[&str]) {
    let error =
        Tls::from_pem(chain.as_ref(), key.as_ref()).err().unwrap_or_else(|| panic!("{what} is accepted"));
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: no {word:?} in: {text}");
    }
    assert!(!text.contains('\n'), "{what}: {text}");
}

#[test]
fn the_text_around_and_in_the_sections_does_not_matter() {
    let served = TlsServer::new();
    let (chain, key) = pair("localhost");
    let (other_chain, _) = pair("localhost");
    let joined = |text: &str| text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    type Change<'a> = (&'a str, Box<dyn Fn(&str) -> String + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("CRLF", Box::new(|text| text.replace('\n', "\r\n"))),
        ("CR", Box::new(|text| text.replace('\n', "\r"))),
        ("a byte order mark", Box::new(|text| format!("\u{feff}{text}"))),
        ("a byte order mark and CRLF", Box::new(|text| format!("\u{feff}{}", text.replace('\n', "\r\n")))),
        ("no last line end", Box::new(|text| text.trim_end().to_owned())),
        ("spaces at line ends", Box::new(|text| text.replace('\n', " \t\n"))),
        ("empty lines", Box::new(|text| text.replace('\n', "\n\n"))),
        ("comments", Box::new(|text| format!("# for localhost\n{text}# the end, ümläut\n"))),
        ("a dump", Box::new(|text| format!("Certificate:\n    Data:\n        Version: 3 (0x2)\n{text}"))),
        (
            "bag attributes",
            Box::new(|text| {
                format!("Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n{text}")
            }),
        ),
        ("other sections", Box::new(move |text| format!("{parameters}{text}{parameters}"))),
        (
            "header fields",
            Box::new(|text| text.replacen("-----\n", "-----\nComment: \"made by hand\"\n\n", 1)),
        ),
        ("an old name", Box::new(|text| text.replace(" CERTIFICATE", " X509 CERTIFICATE"))),
        ("a trusted certificate", Box::new(|text| text.replace(" CERTIFICATE", " TRUSTED CERTIFICATE"))),
        (
            "one long line",
            Box::new(move |text| {
                let (first, last) = (text.lines().next().unwrap(), text.lines().last().unwrap());
                format!("{first}\n{}\n{last}\n", joined(text))
            }),
        ),
    ];
    for (what, change) in &changes {
        is_served(&served, what, change(&chain), change(&key), &chain);
    }
    let both = format!("{key}{chain}");
    is_served(&served, "the key before the certificate in one file", &both, &both, &chain);
    let both = format!("{chain}{other_chain}{key}");
    is_served(&served, "a chain and its key in one file", &both, &both, &chain);
    let mut latin1 = b"# f\xfcr localhost\n".to_vec();
    latin1.extend_from_slice(chain.as_bytes());
    is_served(&served, "a comment in Latin-1", &latin1, &key, &chain);
}

#[test]
fn wrong_files_are_refused_with_the_reason() {
    let (chain, key) = pair("localhost");
    let (_, other_key) = pair("localhost");
    let (other_chain, _) = pair("localhost");
    refused(
        "the wrong order",
        format!("{other_chain}{chain}"),
        &key,
        &["certificate 2", "put that one first"],
    );
    refused("a foreign key", &chain, &other_key, &["does not match"]);
    refused("swapped files", &key, &chain, &["no PEM section CERTIFICATE", "only PRIVATE KEY"]);
    refused("two times the certificate", &chain, &chain, &["no PEM section PRIVATE KEY", "only CERTIFICATE"]);
    refused("an empty file", "\n", &key, &["empty"]);
    let utf16: Vec<u8> = format!("\u{feff}{chain}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused("UTF-16", utf16, &key, &["UTF-16", "save it as"]);
    refused("a cut file", &chain[..chain.len() - 40], &key, &["no end line", "incomplete"]);
    refused("a wrong end", chain.replace("END CERTIFICATE", "END X"), &key, &["CERTIFICATE ends with END X"]);
    refused(
        "a request",
        chain.replace(" CERTIFICATE", " CERTIFICATE REQUEST"),
        &key,
        &["only CERTIFICATE REQUEST"],
    );
    refused("no base64", chain.replacen("MII", "M!I", 1), &key, &["CERTIFICATE is not valid base64"]);
    refused(
        "an encrypted key",
        &chain,
        key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        &["encrypted", "openssl pkey"],
    );
    refused("an OpenSSH key", &chain, key.replace("PRIVATE", "OPENSSH PRIVATE"), &["OpenSSH", "ssh-keygen"]);
}

/// A folder in which openssl works, removed on drop.
struct Workshop(PathBuf);

impl Workshop {
    /// Returns `None` if openssl is not installed. Each test uses another name.
    fn new(name: &str) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("windlass-openssl-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let workshop = Self(path);
        workshop.try_run("version").then_some(workshop)
    }

    /// Runs openssl. Returns `false` if it fails, for example because it does not know an algorithm.
    fn try_run(&self, arguments: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.0).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    #[track_caller]
    fn run(&self, arguments: &str) {
        assert!(self.try_run(arguments), "openssl {arguments}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    /// Makes a certificate of the key in `key`.
    fn certify(&self) -> String {
        let extensions = "-addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
        self.run(&format!("req -x509 -key key -out cert -days 30 -subj /CN=localhost {extensions}"));
        String::from_utf8(self.read("cert")).unwrap()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn keys_that_openssl_makes_are_served_or_explained() {
    let Some(shop) = Workshop::new("made") else {
        println!("skipped: openssl is not installed");
        return;
    };
    let served = TlsServer::new();
    for make in [
        "genrsa -traditional -out key 2048",
        "genrsa -out key 3072",
        "ecparam -name prime256v1 -genkey -out key",
        "ecparam -name prime256v1 -genkey -noout -out key",
        "ecparam -name secp384r1 -genkey -out key",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out key",
        "genpkey -algorithm ed25519 -out key",
    ] {
        shop.run(make);
        let chain = shop.certify();
        is_served(&served, make, &chain, shop.read("key"), &chain);
    }
    shop.run("ecparam -name prime256v1 -genkey -noout -out key");
    let chain = shop.certify();
    for convert in [
        "pkcs8 -topk8 -nocrypt -in key -out other",
        "ec -in key -no_public -out other",
        "pkey -in key -text -out other",
    ] {
        shop.run(convert);
        is_served(&served, convert, &chain, shop.read("other"), &chain);
    }
    shop.run("x509 -in cert -text -trustout -addtrust serverAuth -out other");
    is_served(&served, "a trusted certificate", shop.read("other"), shop.read("key"), &chain);
    for encrypt in [
        "pkcs8 -topk8 -in key -out other -passout pass:secret",
        "ec -in key -aes256 -out other -passout pass:secret",
    ] {
        shop.run(encrypt);
        refused(encrypt, &chain, shop.read("other"), &["encrypted", "openssl pkey -in FILE -out COPY"]);
    }
    shop.run("x509 -in cert -outform der -out other");
    refused("a DER certificate", shop.read("other"), shop.read("key"), &["DER", "openssl x509 -inform der"]);
    shop.run("pkey -in key -outform der -out other");
    refused("a DER key", &chain, shop.read("other"), &["DER", "openssl pkey -inform der"]);
    shop.run("pkcs12 -export -inkey key -in cert -out other -passout pass:secret");
    refused("a PKCS#12 archive", shop.read("other"), shop.read("key"), &["PKCS#12", "openssl pkcs12"]);

    // Certificates of version 1 need no more than a client that accepts them.
    shop.run("req -new -key key -out request -subj /CN=localhost");
    shop.run("x509 -req -in request -signkey key -out other -days 30");
    Tls::from_pem(&shop.read("other"), &shop.read("key")).unwrap();
}

#[test]
fn keys_of_other_kinds_are_refused_with_the_kind() {
    let Some(shop) = Workshop::new("refused") else {
        println!("skipped: openssl is not installed");
        return;
    };
    let (chain, _) = pair("localhost");
    for (make, words) in [
        ("genrsa -out key 1024", ["RSA key of 1024 bits", "at least 2048"]),
        ("genrsa -traditional -out key 1024", ["RSA key of 1024 bits", "at least 2048"]),
        ("ecparam -name secp256k1 -genkey -noout -out key", ["on another curve", "P-256"]),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out key",
            ["on another curve", "P-256"],
        ),
        ("genpkey -algorithm ed448 -out key", ["key for Ed448", "Ed25519"]),
        (
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out key",
            ["key for RSA-PSS", "use an RSA"],
        ),
    ] {
        if shop.try_run(make) {
            refused(make, &chain, shop.read("key"), &words);
        }
    }
}

#[test]
fn a_client_that_offers_only_http_1_0_gets_it() {
    let served = TlsServer::new();
    let mut config = (*served.trust).clone();
    config.alpn_protocols = vec![b"http/1.0".to_vec()];
    let mut client = Client::connect(served.address(), &Arc::new(config));
    assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.0"[..]));
    client.send(b"GET /inline HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}
