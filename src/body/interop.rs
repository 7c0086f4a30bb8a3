//! Conversion from and to the bodies of the `http-body` crate, which tower services use.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, SizeHint};

use super::{Body, BodyError, BoxError, Frame, Source};

/// A body as a tower service reads that of a request.
impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let frame = |frame| match frame {
            Frame::Data(bytes) => http_body::Frame::data(bytes),
            Frame::Trailers(trailers) => http_body::Frame::trailers(trailers),
        };
        Self::poll_frame(self.get_mut(), cx).map(|polled| polled.map(|result| result.map(frame)))
    }

    /// Returns `true` if neither content nor trailers follow. [`Body::is_empty`] leaves out the trailers.
    fn is_end_stream(&self) -> bool {
        matches!(self.0, super::Kind::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Body {
    /// Creates a body from a body of the `http-body` crate. Requires the feature `tower`.
    ///
    /// It is polled on the thread of the handler, so on an async route it may use tokio.
    pub fn from_http<B>(body: B) -> Self
    where
        B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        if body.is_end_stream() { Self::empty() } else { Self::source(HttpBodySource::new(body)) }
    }

    /// Creates a body like [`from_http`](Self::from_http) does, but as a complete buffer if `body` knows its
    /// length, returns all of its content at the first poll and has no trailers. `endless` is the result of
    /// [`Source::is_endless`] otherwise.
    pub(crate) async fn from_http_buffered<B>(body: B, endless: bool) -> Self
    where
        B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let mut source = HttpBodySource { endless, ..HttpBodySource::new(body) };
        let Some(len) = source.body.size_hint().exact() else { return Self::source(source) };
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(Source::poll_frame(Pin::new(&mut source), cx))).await;
        match polled {
            Poll::Ready(None) if len == 0 => Self::empty(),
            Poll::Ready(Some(Ok(Frame::Data(data))))
                if data.len() as u64 == len && source.body.is_end_stream() =>
            {
                data.into()
            }
            polled => {
                source.first = Some((polled, len));
                Self::source(source)
            }
        }
    }
}

type Polled = Poll<Option<Result<Frame, BoxError>>>;

/// Source that polls a body of the `http-body` crate.
struct HttpBodySource<B> {
    body: Pin<Box<B>>,
    /// Result of the first poll, which checked for a complete buffer, and the length before that poll.
    first: Option<(Polled, u64)>,
    endless: bool,
}

impl<B> HttpBodySource<B> {
    fn new(body: B) -> Self {
        Self { body: Box::pin(body), first: None, endless: false }
    }
}

impl<B> Source for HttpBodySource<B>
where
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send,
{
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        // A first poll that was pending must be repeated, because it registered no useful waker.
        if let Some((Poll::Ready(first), _)) = self.first.take() {
            return Poll::Ready(first);
        }
        loop {
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(mut data) if data.has_remaining() => {
                    return Poll::Ready(Some(Ok(Frame::Data(data.copy_to_bytes(data.remaining())))));
                }
                Ok(_) => {}
                Err(frame) => {
                    // A frame type that a later version of `http-body` may add. It has no counterpart here.
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    return Poll::Ready(Some(Ok(Frame::Trailers(trailers))));
                }
            }
        }
    }

    fn len_bytes(&self) -> Option<u64> {
        match &self.first {
            Some((_, len)) => Some(*len),
            None => self.body.size_hint().exact(),
        }
    }

    fn is_endless(&self) -> bool {
        self.endless
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, pin::pin, task::Waker};

    use http::HeaderMap;

    use super::*;

    /// Body that returns the given frames, and is pending once before the first if `waits` is set.
    #[derive(Default)]
    struct Scripted {
        frames: VecDeque<http_body::Frame<Bytes>>,
        waits: bool,
        hint: Option<u64>,
    }

    impl HttpBody for Scripted {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            if std::mem::take(&mut self.waits) {
                return Poll::Pending;
            }
            let frame = self.frames.pop_front();
            self.hint =
                self.hint.zip(frame.as_ref().and_then(|f| f.data_ref())).map(|(h, d)| h - d.len() as u64);
            Poll::Ready(frame.map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.frames.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            self.hint.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn script(pieces: &[&'static str], trailers: Option<HeaderMap>) -> Scripted {
        let data = pieces.iter().map(|piece| http_body::Frame::data(Bytes::from_static(piece.as_bytes())));
        let frames = data.chain(trailers.map(http_body::Frame::trailers)).collect();
        Scripted { frames, waits: false, hint: Some(pieces.iter().map(|piece| piece.len() as u64).sum()) }
    }

    fn ready<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future is pending"),
        }
    }

    fn sum() -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("1"))])
    }

    fn read(mut body: Body) -> (String, Option<HeaderMap>) {
        let mut all = String::new();
        while let Some(bytes) = ready(body.next()) {
            all += std::str::from_utf8(&bytes.unwrap()).unwrap();
        }
        (all, ready(body.trailers()).unwrap())
    }

    #[test]
    fn only_a_body_that_is_complete_at_once_becomes_a_buffer() {
        let buffered =
            |body: Scripted| ready(Body::from_http_buffered(body, false)).as_bytes().map(<[u8]>::to_vec);
        assert_eq!(buffered(script(&["abc"], None)).as_deref(), Some(&b"abc"[..]));
        assert_eq!(buffered(script(&[], None)).as_deref(), Some(&b""[..]));
        assert_eq!(buffered(script(&["ab", "c"], None)), None);
        assert_eq!(buffered(script(&["abc"], Some(sum()))), None);
        assert_eq!(buffered(Scripted { waits: true, ..script(&["abc"], None) }), None);
        assert_eq!(buffered(Scripted { hint: None, ..script(&["abc"], None) }), None);
    }

    #[test]
    fn the_result_of_the_first_poll_is_not_lost() {
        for (body, content, trailers, len) in [
            (script(&["ab", "", "c"], None), "abc", None, Some(3)),
            (script(&["abc"], Some(sum())), "abc", Some(sum()), Some(3)),
            (script(&[], Some(sum())), "", Some(sum()), Some(0)),
            (Scripted { waits: true, ..script(&["abc"], None) }, "abc", None, Some(3)),
            (Scripted { hint: None, ..script(&["a", "bc"], None) }, "abc", None, None),
        ] {
            let converted = ready(Body::from_http_buffered(body, true));
            assert_eq!((converted.len(), converted.is_endless()), (len, true), "{content}");
            assert_eq!(read(converted), (content.to_owned(), trailers));
        }
    }

    #[test]
    fn a_service_reads_bytes_and_trailers() {
        let mut body = Body::from("abc").with_trailers(sum());
        let mut next = || ready(std::future::poll_fn(|cx| HttpBody::poll_frame(Pin::new(&mut body), cx)));
        assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(next().unwrap().unwrap().into_trailers().unwrap(), sum());
        assert!(next().is_none());
        assert_eq!(HttpBody::size_hint(&Body::from("abc")).exact(), Some(3));
        assert!(HttpBody::is_end_stream(&Body::empty()) && !HttpBody::is_end_stream(&Body::channel(1).1));
    }
}
