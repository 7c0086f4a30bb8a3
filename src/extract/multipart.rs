//! A body of type `multipart/form-data` (RFC 7578), read part by part.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, StatusCode, header};

use super::FromRequest;
use crate::{
    body::{Body, BoxError},
    request::Request,
    response::Rejection,
};

/// Maximum bytes of a field that [`Field::bytes`] and [`Field::text`] return.
const FIELD_BYTES: usize = 1024 * 1024;

/// Maximum bytes of a body that a streamed route reads in total.
const STREAMED_BYTES: u64 = 1 << 30;

/// Maximum bytes that a streamed body may deliver without a header or content for the handler. It bounds the
/// memory for the header of a field.
const UNSEEN_BYTES: usize = 4 * 1024 * 1024;

/// A form with files: the fields of a `multipart/form-data` body (RFC 7578), one after the other. Requires
/// the feature `multipart`.
///
/// The body has the size limit of its route. On a [streamed](crate::Route::streamed) route the fields are
/// read as they arrive, 1 GiB in total at most. A field that is skipped there may have 4 MiB.
///
/// ```
/// use windlass::{Rejection, extract::Multipart, post};
///
/// async fn upload(mut form: Multipart) -> Result<String, Rejection> {
///     let mut report = String::new();
///     while let Some(field) = form.next_field().await? {
///         let name = field.name().unwrap_or_default().to_owned();
///         report.push_str(&format!("{name}: {} bytes\n", field.bytes().await?.len()));
///     }
///     Ok(report)
/// }
/// let route = post("/upload", upload).body_limit(10 * 1024 * 1024);
/// ```
pub struct Multipart {
    fields: multer::Multipart<'static>,
    unseen: Unseen,
}

/// A field of a [`Multipart`] form. Drop it before the next one is read.
pub struct Field {
    field: multer::Field<'static>,
    unseen: Unseen,
}

/// Number of bytes that the body has delivered since the handler last got a field or content.
#[derive(Clone, Default)]
struct Unseen(Arc<AtomicUsize>);

impl Unseen {
    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// A body that ends with an error once it has delivered too many unseen bytes.
struct Bounded {
    body: Body,
    unseen: Unseen,
    /// The body is complete and has the size limit of its route.
    is_complete: bool,
}

impl Stream for Bounded {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = match ready!(Pin::new(&mut self.body).poll_next(cx)) {
            Some(Ok(bytes)) => bytes,
            ended => return Poll::Ready(ended.map(|result| result.map_err(Into::into))),
        };
        let unseen = self.unseen.0.fetch_add(bytes.len(), Relaxed) + bytes.len();
        let is_too_much = !self.is_complete && unseen > UNSEEN_BYTES;
        Poll::Ready(Some(if is_too_much {
            Err("a field or its header is too large".into())
        } else {
            Ok(bytes)
        }))
    }
}

impl FromRequest for Multipart {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request(mut request: Request) -> Result<Self, Rejection> {
        let content_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|error| {
            let status = match error {
                multer::Error::NoBoundary => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            };
            let text = "expected a body of type multipart/form-data with a boundary";
            Rejection::new(status, text).with_source(error)
        })?;
        let (body, unseen) = (request.take_body(), Unseen::default());
        let is_complete = body.as_bytes().is_some();
        let total = if is_complete { u64::MAX } else { STREAMED_BYTES };
        let limits = multer::SizeLimit::new().whole_stream(total);
        let constraints = multer::Constraints::new().size_limit(limits);
        let body = Bounded { body, unseen: unseen.clone(), is_complete };
        Ok(Self { fields: multer::Multipart::with_constraints(body, boundary, constraints), unseen })
    }
}

impl Multipart {
    /// Reads the next field. Returns `None` after the last one.
    ///
    /// # Errors
    ///
    /// `400` if the body is malformed or ends early, or if an earlier field has not been dropped; `413` if
    /// the body is too large.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no field.
    pub async fn next_field(&mut self) -> Result<Option<Field>, Rejection> {
        let field = self.fields.next_field().await.map_err(rejected)?;
        self.unseen.reset();
        Ok(field.map(|field| Field { field, unseen: self.unseen.clone() }))
    }
}

impl Field {
    /// Returns the name of the field.
    pub fn name(&self) -> Option<&str> {
        self.field.name()
    }

    /// Returns the name of the file, as the client has chosen it. `None` if the field is no file.
    ///
    /// It may contain path separators and `..`: do not use it as a path.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// Returns the content type. `None` if the field has none.
    pub fn content_type(&self) -> Option<&str> {
        self.field.content_type().map(AsRef::as_ref)
    }

    /// Returns the header fields of the field.
    pub fn headers(&self) -> &HeaderMap {
        self.field.headers()
    }

    /// Reads the next part of the content. Returns `None` at the end of the field.
    ///
    /// # Errors
    ///
    /// As [`Multipart::next_field`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no content.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Rejection> {
        let chunk = self.field.chunk().await.map_err(rejected)?;
        self.unseen.reset();
        Ok(chunk)
    }

    /// Reads the content to its end.
    ///
    /// # Errors
    ///
    /// `413` if it is larger than 1 MiB; use [`chunk`](Self::chunk) for larger fields. Otherwise as
    /// [`Multipart::next_field`].
    pub async fn bytes(mut self) -> Result<Bytes, Rejection> {
        let mut content = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if content.len() + chunk.len() > FIELD_BYTES {
                return Err(Rejection::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "a field of the form is too large",
                ));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.into())
    }

    /// Reads the content to its end as UTF-8.
    ///
    /// # Errors
    ///
    /// `400` if it is not UTF-8. Otherwise as [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String, Rejection> {
        let invalid = |error| Rejection::bad_request("a field of the form is not UTF-8").with_source(error);
        String::from_utf8(self.bytes().await?.into()).map_err(invalid)
    }
}

fn rejected(error: multer::Error) -> Rejection {
    use multer::Error::{FieldSizeExceeded, StreamSizeExceeded};
    let (status, text) = match error {
        FieldSizeExceeded { .. } | StreamSizeExceeded { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "the form is larger than this path accepts")
        }
        _ => (StatusCode::BAD_REQUEST, "the form is malformed"),
    };
    Rejection::new(status, text).with_source(error)
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").finish_non_exhaustive()
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("name", &self.name()).finish_non_exhaustive()
    }
}
