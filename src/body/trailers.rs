//! Body with trailers that the handler added.

use std::task::{Context, Poll};

use http::HeaderMap;

#[cfg(feature = "http2")]
use super::FrameKind;
use super::{Body, BodyError, Frame};

/// Content followed by trailers, which replace those of the content.
pub(super) struct WithTrailers {
    content: Body,
    /// Added trailers. `None` once they have been returned.
    trailers: Option<HeaderMap>,
}

impl WithTrailers {
    pub(super) fn new(content: Body, trailers: HeaderMap) -> Self {
        Self { content, trailers: Some(trailers) }
    }

    pub(super) fn content(&self) -> &Body {
        &self.content
    }

    pub(super) fn drain(&mut self) {
        self.content.drain();
    }

    #[cfg(feature = "http2")]
    pub(super) fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<FrameKind> {
        match self.trailers {
            Some(_) => self.content.poll_kind(cx),
            None => Poll::Ready(FrameKind::End),
        }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.trailers.is_none() {
            return Poll::Ready(None);
        }
        match self.content.poll_frame(cx) {
            // The added trailers replace those of the content.
            Poll::Ready(None | Some(Ok(Frame::Trailers(_)))) => {
                Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::Trailers(trailers))))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use super::*;

    fn ready<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future is pending"),
        }
    }

    fn sum(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_drain_reaches_a_source_with_trailers() {
        struct UntilDrain(bool);
        impl crate::Source for UntilDrain {
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame, crate::BoxError>>> {
                if self.0 { Poll::Ready(None) } else { Poll::Pending }
            }

            fn drain(mut self: std::pin::Pin<&mut Self>) {
                self.0 = true;
            }
        }
        let mut body = Body::source(UntilDrain(false)).with_trailers(sum("1"));
        body.drain();
        let frame = body.poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(frame, Poll::Ready(Some(Ok(Frame::Trailers(_))))));
    }

    #[test]
    fn an_endless_body_stays_endless_with_trailers_or_in_a_channel() {
        struct Endless;
        impl crate::body::Source for Endless {
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame, crate::body::BoxError>>> {
                Poll::Pending
            }

            fn is_endless(&self) -> bool {
                true
            }
        }
        for (content, endless) in [(Body::source(Endless), true), (Body::from("whole"), false)] {
            let mut body = content.with_trailers(sum("given"));
            assert_eq!(body.is_endless(), endless);
            let _original = body.replace_with_channel(10);
            assert_eq!(body.is_endless(), endless);
        }
    }

    #[test]
    fn trailers_follow_any_content() {
        let (sender, streamed) = Body::channel(10);
        sender.finish_with(sum("own"));
        for (body, content) in [(Body::from("ab"), "ab"), (Body::empty(), ""), (streamed, "")] {
            let mut body = body.with_trailers(sum("given"));
            assert_eq!(body.len(), None);
            let mut all = Vec::new();
            while let Some(bytes) = ready(body.next()) {
                all.extend_from_slice(&bytes.unwrap());
            }
            assert_eq!(all, content.as_bytes());
            assert_eq!(ready(body.trailers()).unwrap(), Some(sum("given")));
            assert_eq!(ready(body.frame()).transpose().unwrap(), None);
        }
    }
}
