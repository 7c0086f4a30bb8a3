//! A body with trailers of its handler's behind it.

use std::task::{Context, Poll};

use http::HeaderMap;

use super::{Body, BodyError, Frame};

/// Some content, then trailers.
pub(super) struct Trailed {
    content: Body,
    /// None once they were given.
    trailers: Option<HeaderMap>,
}

impl Trailed {
    pub(super) fn new(content: Body, trailers: HeaderMap) -> Self {
        Self { content, trailers: Some(trailers) }
    }

    pub(super) fn content(&self) -> &Body {
        &self.content
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.trailers.is_none() {
            return Poll::Ready(None);
        }
        match self.content.poll_frame(cx) {
            // The content's own trailers give way.
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

    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn sum(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn what_has_no_end_of_its_own_has_none_with_trailers_or_through_a_channel() {
        struct Endless;
        impl crate::body::Source for Endless {
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame, crate::body::BoxError>>> {
                Poll::Pending
            }

            fn ends_with_peer(&self) -> bool {
                true
            }
        }
        for (content, lasts) in [(Body::source(Endless), true), (Body::from("whole"), false)] {
            let mut body = content.with_trailers(sum("given"));
            assert_eq!(body.ends_with_peer(), lasts);
            let _moved = body.detach(10);
            assert_eq!(body.ends_with_peer(), lasts);
        }
    }

    #[test]
    fn trailers_stand_behind_whatever_the_content_is() {
        let (sender, streamed) = Body::channel(10);
        sender.finish_with(sum("own"));
        for (body, content) in [(Body::from("ab"), "ab"), (Body::empty(), ""), (streamed, "")] {
            let mut body = body.with_trailers(sum("given"));
            assert_eq!(body.len(), None);
            let mut all = Vec::new();
            while let Some(bytes) = now(body.next()) {
                all.extend_from_slice(&bytes.unwrap());
            }
            assert_eq!(all, content.as_bytes());
            assert_eq!(now(body.trailers()).unwrap(), Some(sum("given")));
            assert_eq!(now(body.frame()).transpose().unwrap(), None);
        }
    }
}
