//! Certificates of the listeners: checks, use at the start of the server, and reload at SIGHUP.

use super::listeners::{Listener, Socket};
use windlass::{Builder, Listen, Server};

#[cfg(feature = "tls")]
mod certificates {
    use super::{Builder, Listener, Server};
    use crate::listeners::CertificateFiles;
    use windlass::Tls;

    /// Certificates read so far. Listeners with the same files share one.
    #[derive(Default)]
    struct Certificates(Vec<(CertificateFiles, Tls)>);

    impl Certificates {
        fn read(&mut self, files: CertificateFiles) -> Result<Tls, String> {
            if let Some((_, tls)) = self.0.iter().find(|(known, _)| *known == files) {
                return Ok(tls.clone());
            }
            let tls = Tls::from_files(&files.cert, &files.key).map_err(|error| error.to_string())?;
            self.0.push((files, tls.clone()));
            Ok(tls)
        }
    }

    /// Reads every certificate of the listeners and checks that it can be used.
    pub(crate) fn check(listeners: &[Listener]) -> Result<(), String> {
        let mut certificates = Certificates::default();
        let files = listeners.iter().filter_map(|listener| listener.certificate.clone());
        files.map(|files| certificates.read(files)).try_for_each(|read| read.map(|_| ()))
    }

    /// Adds the listeners to the builder of a server, with the certificates read from their files.
    pub(crate) fn listen(builder: Builder, listeners: Vec<Listener>) -> Result<Builder, String> {
        let mut certificates = Certificates::default();
        listeners.into_iter().try_fold(builder, |builder, listener| {
            let Some(files) = listener.certificate.clone() else {
                return super::listen_plain(builder, listener);
            };
            let tls = certificates.read(files)?;
            let listen = super::address(listener.socket)?;
            Ok(match listener.proxy_protocol {
                false => builder.listen_tls(listen, tls),
                true => builder.listen_proxied_tls(listen, tls),
            })
        })
    }

    /// Reloads every certificate of the server, and logs the result.
    pub(crate) fn reload(server: &Server) {
        match server.reload_tls() {
            Ok(0) => super::nothing_to_reload(),
            Ok(certificates) => tracing::info!(certificates, "certificates reloaded"),
            Err(error) => tracing::error!(%error, "certificate reload failed, the certificates in use stay"),
        }
    }
}

#[cfg(not(feature = "tls"))]
mod certificates {
    use super::{Builder, Listener, Server};

    pub(crate) fn check(listeners: &[Listener]) -> Result<(), String> {
        let needs_tls = listeners.iter().any(|listener| listener.certificate.is_some());
        if needs_tls {
            Err("this build has no TLS: build it with the feature `tls`".to_owned())
        } else {
            Ok(())
        }
    }

    pub(crate) fn listen(builder: Builder, listeners: Vec<Listener>) -> Result<Builder, String> {
        listeners.into_iter().try_fold(builder, super::listen_plain)
    }

    pub(crate) fn reload(_: &Server) {
        super::nothing_to_reload();
    }
}

pub(super) use certificates::{check, listen, reload};

/// Adds a listener without TLS.
fn listen_plain(builder: Builder, listener: Listener) -> Result<Builder, String> {
    let listen = address(listener.socket)?;
    Ok(match (listener.proxy_protocol, listener.is_http2_only) {
        (false, false) => builder.listen(listen),
        (true, false) => builder.listen_proxied(listen),
        #[cfg(feature = "http2")]
        (false, true) => builder.listen_http2(listen),
        #[cfg(feature = "http2")]
        (true, true) => builder.listen_proxied_http2(listen),
        #[cfg(not(feature = "http2"))]
        (_, true) => return Err("this build has no HTTP/2: build it with the feature `http2`".to_owned()),
    })
}

/// Returns the address of a socket. Returns an error text for sockets from systemd that were not replaced by
/// their addresses before.
fn address(socket: Socket) -> Result<Listen, String> {
    match socket {
        Socket::Bound(listen) => Ok(listen),
        Socket::Systemd(_) => {
            Err("internal error: a socket from systemd was not replaced by its address".to_owned())
        }
    }
}

fn nothing_to_reload() {
    tracing::info!(
        "nothing to reload: there is no certificate, and the configuration is read only at the start"
    );
}
