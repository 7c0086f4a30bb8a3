//! Arguments that are the body.

use std::convert::Infallible;

use bytes::Bytes;

use super::FromRequest;
use crate::{body::Body, request::Request, response::Rejection};

impl FromRequest for Body {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    async fn from_request(mut request: Request) -> Result<Self, Infallible> {
        Ok(request.take_body())
    }
}

impl FromRequest for Bytes {
    type Rejection = Rejection;

    async fn from_request(mut request: Request) -> Result<Self, Rejection> {
        request.whole_body().await
    }
}

impl FromRequest for String {
    type Rejection = Rejection;

    async fn from_request(mut request: Request) -> Result<Self, Rejection> {
        let bytes = request.whole_body().await?;
        let invalid = |error| Rejection::bad_request("the request body is not UTF-8").with_source(error);
        Self::from_utf8(bytes.into()).map_err(invalid)
    }
}
