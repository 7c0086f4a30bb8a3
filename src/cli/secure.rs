//! Certificates of the command line: read with the configuration, and again at a HUP.

use std::path::{Path, PathBuf};

use super::config::{Entrance, Place};
use windlass::{Builder, Listen, Server};

/// Where a certificate chain and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairFiles {
    cert: PathBuf,
    key: PathBuf,
}

impl PairFiles {
    /// Takes both or neither.
    pub(super) fn of(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Self>, String> {
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Self { cert: cert.into(), key: key.into() })),
            (Some(_), None) => Err("tls_cert needs the tls_key that belongs to it".to_owned()),
            (None, Some(_)) => Err("tls_key needs the tls_cert that belongs to it".to_owned()),
        }
    }
}

#[cfg(feature = "tls")]
mod pairs {
    use super::{Builder, Entrance, PairFiles, Server};
    use windlass::Tls;

    /// The pairs read so far: listeners with the same files share one.
    #[derive(Default)]
    struct Pairs(Vec<(PairFiles, Tls)>);

    impl Pairs {
        fn read(&mut self, files: PairFiles) -> Result<Tls, String> {
            if let Some((_, tls)) = self.0.iter().find(|(known, _)| *known == files) {
                return Ok(tls.clone());
            }
            let tls = Tls::from_files(&files.cert, &files.key).map_err(|error| error.to_string())?;
            self.0.push((files, tls.clone()));
            Ok(tls)
        }
    }

    /// Reads every pair, to tell what is wrong with it.
    pub(crate) fn check(entrances: &[Entrance]) -> Result<(), String> {
        let mut pairs = Pairs::default();
        let files = entrances.iter().filter_map(|entrance| entrance.pair.clone());
        files.map(|files| pairs.read(files)).try_for_each(|read| read.map(|_| ()))
    }

    /// Lets a server listen.
    pub(crate) fn listen(builder: Builder, entrances: Vec<Entrance>) -> Result<Builder, String> {
        let mut pairs = Pairs::default();
        entrances.into_iter().try_fold(builder, |builder, entrance| {
            let Entrance { place, proxied, pair } = entrance;
            let listen = super::address(place)?;
            Ok(match (pair.map(|files| pairs.read(files)).transpose()?, proxied) {
                (None, false) => builder.listen(listen),
                (None, true) => builder.listen_proxied(listen),
                (Some(tls), false) => builder.listen_tls(listen, tls),
                (Some(tls), true) => builder.listen_proxied_tls(listen, tls),
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
    use super::{Builder, Entrance, Server};

    pub(crate) fn check(entrances: &[Entrance]) -> Result<(), String> {
        let asked_for = entrances.iter().any(|entrance| entrance.pair.is_some());
        if asked_for {
            Err("this build has no TLS: build it with the feature tls".to_owned())
        } else {
            Ok(())
        }
    }

    pub(crate) fn listen(builder: Builder, entrances: Vec<Entrance>) -> Result<Builder, String> {
        entrances.into_iter().try_fold(builder, |builder, entrance| {
            let listen = super::address(entrance.place)?;
            Ok(if entrance.proxied { builder.listen_proxied(listen) } else { builder.listen(listen) })
        })
    }

    pub(crate) fn reload(_: &Server) {
        super::nothing_to_reload();
    }
}

pub(super) use pairs::{check, listen, reload};

/// Returns the address of a place that has one by now.
fn address(place: Place) -> Result<Listen, String> {
    match place {
        Place::Address(listen) => Ok(listen),
        Place::Systemd(_) => Err("the sockets of the service manager were not taken".to_owned()),
    }
}

fn nothing_to_reload() {
    tracing::info!("nothing to reload: the configuration is read at the start");
}
