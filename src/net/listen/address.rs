//! The address to listen on, and its text form.

use std::{
    convert::Infallible,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::PathBuf,
    str::FromStr,
};

use socket2::{SockRef, Type};

/// Maximum length of a Unix socket's path or name, in bytes: the size of `sun_path` without the final or
/// first NUL (unix(7)).
const MAX_PATH_BYTES: usize = 107;

/// An address to listen on.
///
/// ```
/// use windlass::net::Listen;
///
/// let tcp: Listen = "127.0.0.1:8080".parse()?;
/// let unix: Listen = "unix:/run/windlass.sock".parse()?;
/// assert_eq!(tcp.to_string(), "127.0.0.1:8080");
/// assert_eq!(unix.to_string(), "unix:/run/windlass.sock");
/// assert_eq!(":8080".parse::<Listen>()?.to_string(), "0.0.0.0:8080");
/// # Ok::<(), windlass::net::ListenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// An IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`. `:8080` stands for all IPv4
    /// addresses. The system chooses the port if it is 0.
    Tcp(SocketAddr),
    /// The path of a Unix socket, such as `unix:/run/windlass.sock`. The permissions of the file control who
    /// can connect.
    Unix(PathBuf),
    /// The abstract name of a Unix socket, such as `unix:@windlass` (unix(7)). It has no file and no
    /// permissions: every process of the same network namespace can connect.
    Abstract(String),
}

/// The error of a text that is not an address to listen on. Its message shows the valid forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(
            f,
            "cannot listen on {text:?}: {reason}; write 127.0.0.1:8080, [::1]:8080, :8080, unix:/path or \
             unix:@name"
        )
    }
}

impl std::error::Error for ListenError {}

impl From<Infallible> for ListenError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl TryFrom<&str> for Listen {
    type Error = ListenError;

    fn try_from(text: &str) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl Listen {
    /// Returns the address of a listening stream socket.
    ///
    /// # Errors
    ///
    /// Fails if the socket is not a listening stream socket, has neither an IP address nor a path nor a name,
    /// or has a name that is not UTF-8.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        let wrong = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        let fd = socket.as_fd();
        let socket = SockRef::from(&fd);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return wrong("the socket is not a listening stream socket");
        }
        let address = socket.local_addr()?;
        if let Some(address) = address.as_socket() {
            return Ok(Self::Tcp(address));
        }
        if let Some(path) = address.as_pathname() {
            return Ok(Self::Unix(path.into()));
        }
        match address.as_abstract_namespace().map(std::str::from_utf8) {
            Some(Ok(name)) => Ok(Self::Abstract(name.to_owned())),
            Some(Err(_)) => wrong("the socket's name is not UTF-8"),
            None => wrong("the socket has neither an IP address nor a path nor a name"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let refuse = |reason| Err(ListenError { text: text.to_owned(), reason });
        if let Some(name) = text.strip_prefix("unix:@") {
            return match name.len() {
                0 => refuse("the name is missing"),
                1..=MAX_PATH_BYTES if name.contains('\0') => refuse("the name contains a NUL"),
                1..=MAX_PATH_BYTES => Ok(Self::Abstract(name.to_owned())),
                _ => refuse("the name is longer than 107 bytes"),
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => refuse("the path is missing"),
                1..=MAX_PATH_BYTES if path.contains('\0') => refuse("the path contains a NUL"),
                1..=MAX_PATH_BYTES => Ok(Self::Unix(path.into())),
                _ => refuse("the path is longer than 107 bytes"),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        if text.parse::<IpAddr>().is_ok() {
            return refuse("the port is missing");
        }
        match text.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_err() => refuse("the port is not a number up to 65535"),
            Some(("", port)) => match port.parse() {
                Ok(port) => Ok(Self::Tcp((Ipv4Addr::UNSPECIFIED, port).into())),
                Err(_) => refuse("the port is not a number up to 65535"),
            },
            Some((host, _)) if host.contains(':') => refuse("an IPv6 address needs brackets"),
            Some(_) => refuse("the part before the port is not an IP address (host names are not supported)"),
            None => refuse("the port is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> &'static str {
        text.parse::<Listen>().unwrap_err().reason
    }

    #[test]
    fn an_address_survives_formatting_and_parsing() {
        let unix = ["unix:/run/windlass.sock", "unix:relative", "unix:@name", "unix:./@file"];
        for text in ["127.0.0.1:8080", "[::1]:80", "0.0.0.0:0"].into_iter().chain(unix) {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("unix:@name".parse(), Ok(Listen::Abstract("name".to_owned())));
        assert_eq!(":8080".parse(), Ok(Listen::Tcp(([0, 0, 0, 0], 8080).into())));
    }

    #[test]
    fn an_error_names_the_wrong_part() {
        assert_eq!(error("127.0.0.1"), "the port is missing");
        assert_eq!(error("::1"), "the port is missing");
        assert_eq!(error("8080"), "the port is missing");
        assert_eq!(error(""), "the port is missing");
        assert_eq!(error("127.0.0.1:65536"), "the port is not a number up to 65535");
        assert_eq!(error(":"), "the port is not a number up to 65535");
        assert_eq!(error("fe80::1:x:80"), "an IPv6 address needs brackets");
        assert_eq!(
            error("localhost:80"),
            "the part before the port is not an IP address (host names are not supported)"
        );
        assert_eq!(error("unix:"), "the path is missing");
        assert_eq!(error(&format!("unix:/{}", "x".repeat(107))), "the path is longer than 107 bytes");
        assert_eq!(error("unix:@"), "the name is missing");
        assert_eq!(error("unix:@a\0b"), "the name contains a NUL");
        assert_eq!(error(&format!("unix:@{}", "x".repeat(108))), "the name is longer than 107 bytes");
        let message = "localhost:80".parse::<Listen>().unwrap_err().to_string();
        assert!(message.contains("\"localhost:80\"") && message.contains("write 127.0.0.1:8080"));
    }
}
