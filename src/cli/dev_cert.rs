//! `windlass dev-cert`: a self-signed certificate for first use and tests.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

/// Names that every certificate contains.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Validity of the certificate. Browsers reject longer ones.
const VALID_DAYS: u32 = 397;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Creates a certificate and its key in `folder`, which is created if it is missing. `more` are further
/// names. Returns a message for the user. Existing files are an error.
pub(super) fn create(folder: &Path, more: Vec<String>) -> Result<String, String> {
    let mut names: Vec<String> = NAMES.map(str::to_owned).into();
    names.extend(more.into_iter().filter(|name| !NAMES.contains(&name.as_str())));
    let (cert, key) = pair(names.clone()).map_err(|error| format!("cannot create a certificate: {error}"))?;
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    for file in [&cert_file, &key_file] {
        if file.exists() {
            return Err(format!(
                "{} exists already: remove it, or choose another folder with --out",
                file.display()
            ));
        }
    }
    let failed = |file: &Path| {
        let file = file.display().to_string();
        move |error: io::Error| format!("cannot write {file}: {error}")
    };
    std::fs::create_dir_all(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .map_err(failed(folder))?;
    create_file(&key_file, 0o600)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .map_err(failed(&key_file))?;
    create_file(&cert_file, 0o644)
        .and_then(|mut file| file.write_all(cert.as_bytes()))
        .map_err(failed(&cert_file))?;
    let (cert, key) = (cert_file.display(), key_file.display());
    Ok(format!(
        "created {cert} and {key}: self-signed, for {}, valid for {VALID_DAYS} days\n\
         serve: windlass --tls-cert {cert} --tls-key {key}\n\
         try:   curl --cacert {cert} https://localhost:8080/demo/plaintext\n",
        names.join(", ")
    ))
}

/// Creates a file. Fails if it exists.
fn create_file(file: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(file)
}

/// Returns a certificate for the names and its P-256 key, both as PEM.
fn pair(names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let now = SystemTime::now();
    // The clocks of clients may be slow.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * (VALID_DAYS - 1)).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "windlass dev-cert");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
