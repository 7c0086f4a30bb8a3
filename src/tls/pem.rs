//! PEM files (RFC 7468), read as generously as OpenSSL does: with text around the sections, header fields in
//! them, a byte order mark, and line ends of any kind.

use std::fmt::Write as _;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::der::{INTEGER, SEQUENCE, expect, first};

/// One section, from its BEGIN to its END.
pub(super) struct Section {
    pub(super) label: String,
    /// Its header fields say that it is encrypted (RFC 1421 §4.6.1.1).
    pub(super) is_encrypted: bool,
    /// The base64 text without white space.
    base64: String,
}

/// Returns the sections of a file.
///
/// # Errors
///
/// The reason that the file is no PEM file, for a person.
pub(super) fn sections(file: &[u8]) -> Result<Vec<Section>, String> {
    check_encoding(file)?;
    let text = String::from_utf8_lossy(file);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.split(['\n', '\r']).map(str::trim);
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = boundary(line, "BEGIN") {
            sections.push(section(label, &mut lines)?);
        }
    }
    Ok(sections)
}

/// Returns an error for a file that is no text in UTF-8.
fn check_encoding(file: &[u8]) -> Result<(), String> {
    if file.starts_with(&[0xff, 0xfe]) || file.starts_with(&[0xfe, 0xff]) {
        return Err("the file is UTF-16: save it as UTF-8 or ASCII".to_owned());
    }
    let Some((content, _)) = expect(file, SEQUENCE) else { return Ok(()) };
    Err(match expect(content, INTEGER) {
        // PFX has version 3 (RFC 7292 §4).
        Some(([3], _)) => "the file is a PKCS#12 archive: convert it with `openssl pkcs12 -in FILE -nodes`",
        Some(_) => "the file is DER, not PEM: convert it with `openssl pkey -inform der -in FILE`",
        None => {
            "the file is DER, not PEM: convert a certificate with `openssl x509 -inform der -in FILE`, a key \
             with `openssl pkey -inform der -in FILE`"
        }
    }
    .to_owned())
}

/// Returns the label of a BEGIN or END line.
fn boundary<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_prefix(kind)?.strip_prefix(' ')?.strip_suffix("-----").map(str::trim)
}

/// Reads the lines up to the end of a section.
fn section<'a>(label: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Section, String> {
    let mut section = Section { label: label.to_owned(), is_encrypted: false, base64: String::new() };
    for line in lines {
        if let Some(end) = boundary(line, "END") {
            return if end == label {
                Ok(section)
            } else {
                Err(format!("the PEM section {label} ends with END {end}"))
            };
        }
        if boundary(line, "BEGIN").is_some() {
            break;
        }
        // Base64 has no colon, header fields have one.
        if line.contains(':') {
            section.is_encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
        } else if !section.is_encrypted {
            section.base64.extend(line.split_whitespace());
        }
    }
    Err(format!("the PEM section {label} has no end line: the file is incomplete"))
}

impl Section {
    /// Returns `true` if the section holds a certificate, under any name that OpenSSL knows.
    pub(super) fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    /// Returns `true` if the section holds a private key of any kind.
    pub(super) fn is_private_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    /// Decodes a certificate.
    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, String> {
        let decoded = CertificateDer::from_pem_slice(self.text("CERTIFICATE").as_bytes());
        let decoded = decoded.map_err(|_| self.invalid())?;
        // OpenSSL's trusted certificates have further data behind the certificate.
        let certificate = first(&decoded).ok_or("a PEM section CERTIFICATE holds no certificate")?;
        Ok(CertificateDer::from(certificate.to_vec()))
    }

    /// Decodes a private key. `None`: the section is of a kind that cannot be used.
    pub(super) fn private_key(&self) -> Option<Result<PrivateKeyDer<'static>, String>> {
        let is_usable = matches!(self.label.as_str(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
        let decode = || PrivateKeyDer::from_pem_slice(self.text(&self.label).as_bytes());
        is_usable.then(|| decode().map_err(|_| self.invalid()))
    }

    fn invalid(&self) -> String {
        format!("the PEM section {} is not valid base64", self.label)
    }

    /// Returns the section as strict PEM text.
    fn text(&self, label: &str) -> String {
        /// Length of the lines (RFC 7468 §2).
        const LINE: usize = 64;
        let mut text = format!("-----BEGIN {label}-----\n");
        for line in self.base64.as_bytes().chunks(LINE) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        let _ = writeln!(text, "-----END {label}-----");
        text
    }
}

/// Returns the message for a file that has these sections but not the wanted one.
pub(super) fn missing(wanted: &str, file: &[u8], sections: &[Section]) -> String {
    let mut labels: Vec<_> = sections.iter().map(|section| section.label.as_str()).collect();
    labels.dedup();
    match labels.as_slice() {
        [] if file.iter().all(u8::is_ascii_whitespace) => {
            format!("no PEM section {wanted} found, the file is empty")
        }
        [] => format!("no PEM section {wanted} found"),
        labels => format!("no PEM section {wanted} found, only {}", labels.join(", ")),
    }
}
