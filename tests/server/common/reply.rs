//! A strict parser of replies: an imprecise reply fails the test that receives it.

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) version: u8,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Reply {
    /// Parses a reply at the start of `bytes`. Returns it with its length, or `None` if more bytes are
    /// needed.
    ///
    /// `ended` means that the connection has ended.
    pub(crate) fn parse(bytes: &[u8], method: &str, ended: bool) -> Option<(Self, usize)> {
        let mut storage = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut storage);
        let httparse::Status::Complete(used) = head.parse(bytes).unwrap() else { return None };
        let headers: Vec<_> = pairs(head.headers);
        let mut reply = Self {
            status: head.code.unwrap(),
            version: head.version.unwrap(),
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        let taken = reply.take_body(&bytes[used..], method, ended)?;
        Some((reply, used + taken))
    }

    fn take_body(&mut self, bytes: &[u8], method: &str, ended: bool) -> Option<usize> {
        let none = method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304);
        let chunked = self.header("transfer-encoding").is_some();
        let length = self.header("content-length").map(|length| length.parse::<usize>().unwrap());
        assert!(
            !(chunked && length.is_some()),
            "both content-length and transfer-encoding: {:?}",
            self.headers
        );
        match length {
            _ if none => Some(0),
            Some(length) => {
                self.body = bytes.get(..length)?.to_vec();
                Some(length)
            }
            None if chunked => self.take_chunks(bytes),
            None => {
                assert_eq!(
                    self.header("connection"),
                    Some("close"),
                    "a body without a length must end the connection"
                );
                self.body = bytes.to_vec();
                ended.then_some(bytes.len())
            }
        }
    }

    fn take_chunks(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let line = bytes[at..].windows(2).position(|w| w == b"\r\n")?;
            let size =
                usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).unwrap(), 16).unwrap();
            at += line + 2;
            if size == 0 {
                break;
            }
            self.body.extend_from_slice(bytes.get(at..at + size)?);
            assert_eq!(bytes.get(at + size..at + size + 2)?, b"\r\n");
            at += size + 2;
        }
        let mut storage = [httparse::EMPTY_HEADER; 16];
        match httparse::parse_headers(&bytes[at..], &mut storage).unwrap() {
            httparse::Status::Complete((used, trailers)) => {
                self.trailers = pairs(trailers);
                Some(at + used)
            }
            httparse::Status::Partial => None,
        }
    }

    /// Returns the value of a header. Panics if it occurs twice.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        first
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Returns `true` if the reply announces that the server closes the connection.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

fn pairs(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect()
}
