//! Certificates of the command line: read with the configuration, and again at a HUP.

use super::listeners::{Listener, Socket};
use windlass::{Builder, Listen, Server};

#[cfg(feature = "tls")]
mod pairs {
    use super::{Builder, Listener, Server};
    use crate::listeners::CertificateFiles;
    use windlass::Tls;

    /// The pairs read so far: listeners with the same files share one.
    #[derive(Default)]
    struct Pairs(Vec<(CertificateFiles, Tls)>);

    impl Pairs {
        fn read(&mut self, files: CertificateFiles) -> Result<Tls, String> {
            if let Some((_, tls)) = self.0.iter().find(|(known, _)| *known == files) {
                return Ok(tls.clone());
            }
            let tls = Tls::from_files(&files.cert, &files.key).map_err(|error| error.to_string())?;
            self.0.push((files, tls.clone()));
            Ok(tls)
        }
    }

    /// Reads every pair, to tell what is wrong with it.
    pub(crate) fn check(listeners: &[Listener]) -> Result<(), String> {
        let mut pairs = Pairs::default();
        let files = listeners.iter().filter_map(|listener| listener.certificate.clone());
        files.map(|files| pairs.read(files)).try_for_each(|read| read.map(|_| ()))
    }

    /// Lets a server listen.
    pub(crate) fn listen(builder: Builder, listeners: Vec<Listener>) -> Result<Builder, String> {
        let mut pairs = Pairs::default();
        listeners.into_iter().try_fold(builder, |builder, listener| {
            let Some(files) = listener.certificate.clone() else {
                return super::listen_plain(builder, listener);
            };
            let tls = pairs.read(files)?;
            let listen = super::address(listener.socket)?;
            Ok(match listener.proxy_protocol {
                false => builder.listen_tls(listen, tls),
                true => builder.listen_proxied_tls(listen, tls),
            })
        })
    }

    /// Reads every pair again.
    pub(crate) fn reload(server: &Server) {
        match server.reload_tls() {
            Ok(0) => super::nothing_to_reload(),
            Ok(pairs) => tracing::info!(pairs, "certificates reloaded: new connections are served with them"),
            Err(error) => tracing::error!("the certificate stays as it was: {error}"),
        }
    }
}

#[cfg(not(feature = "tls"))]
mod pairs {
    use super::{Builder, Listener, Server};

    pub(crate) fn check(listeners: &[Listener]) -> Result<(), String> {
        let asked_for = listeners.iter().any(|listener| listener.certificate.is_some());
        if asked_for {
            Err("this build has no TLS: build it with the feature tls".to_owned())
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

pub(super) use pairs::{check, listen, reload};

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
        (_, true) => return Err("this build has no HTTP/2: build it with the feature http2".to_owned()),
    })
}

/// Returns the address of a place that has one by now.
fn address(socket: Socket) -> Result<Listen, String> {
    match socket {
        Socket::Bound(listen) => Ok(listen),
        Socket::Systemd(_) => Err("the sockets of the service manager were not taken".to_owned()),
    }
}

fn nothing_to_reload() {
    tracing::info!("nothing to reload: the configuration is read at the start");
}
