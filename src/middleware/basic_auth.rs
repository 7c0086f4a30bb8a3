//! The `Basic` authentication scheme (RFC 7617).

use std::{fmt, hint::black_box, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, StatusCode, header};

use crate::{
    request::Request,
    response::{IntoResponse, Response, plain},
    routing::handler::{Middleware, Next, ResponseFuture},
};

/// Maximum length of the credentials of a request, bytes. Longer ones are refused.
const MAX_BYTES: usize = 1024;

/// Lets only known users pass: HTTP Basic authentication (RFC 7617). Other requests are answered with `401`
/// and the realm.
///
/// The client sends the password with every request, so use it over TLS. Names and passwords are compared in
/// a time that does not depend on their content. After the check the request has a [`BasicUser`].
///
/// ```
/// use windlass::{
///     Router, TestClient, extract::Extension, get, http::Request, middleware::{BasicAuth, BasicUser},
/// };
///
/// let hello = |Extension(user): Extension<BasicUser>| format!("hello, {}", user.name());
/// let auth = BasicAuth::new("admin").user("ann", "secret");
/// let router = Router::new().group("/admin", |admin| admin.with(auth).route(get("/", hello)));
/// let client = TestClient::new(router)?;
/// assert_eq!(client.get("/admin").status(), 401);
/// // `ann:secret` in base64.
/// let request = Request::get("/admin").header("authorization", "Basic YW5uOnNlY3JldA==").body("")?;
/// assert_eq!(client.call(request).body(), "hello, ann");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BasicAuth {
    challenge: HeaderValue,
    users: Vec<(String, String)>,
}

/// The user whose credentials [`BasicAuth`] has accepted. An extension of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicUser(Arc<str>);

impl BasicUser {
    /// Returns the name of the user.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl BasicAuth {
    /// Creates a check that refuses everybody. A browser shows the realm when it asks for the password.
    ///
    /// # Panics
    ///
    /// The realm contains other characters than visible ASCII and spaces.
    pub fn new(realm: &str) -> Self {
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let is_valid = realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{quoted}\", charset=\"UTF-8\""));
        let Some(challenge) = challenge.ok().filter(|_| is_valid) else {
            panic!("the realm {realm:?} contains other characters than visible ASCII and spaces");
        };
        Self { challenge, users: Vec::new() }
    }

    /// Adds a user.
    ///
    /// # Panics
    ///
    /// The name contains a colon (RFC 7617 §2).
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        assert!(!name.contains(':'), "the name {name:?} of a user contains a colon");
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Returns the user whose credentials the request has. Compares those of all users.
    fn user_of(&self, request: &Request) -> Option<BasicUser> {
        let (scheme, encoded) = request.header(header::AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_BYTES {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (name, password) = (&decoded[..colon], &decoded[colon + 1..]);
        let mut found = None;
        for (known, secret) in &self.users {
            let has_name = is_equal(name, known.as_bytes());
            let has_password = is_equal(password, secret.as_bytes());
            if has_name & has_password {
                found = Some(known);
            }
        }
        found.map(|name| BasicUser(name.as_str().into()))
    }

    fn refuse(&self) -> Response {
        let response =
            plain(StatusCode::UNAUTHORIZED, "Access denied: this path needs a name and a password.\n");
        response.with_header(header::WWW_AUTHENTICATE, self.challenge.clone())
    }
}

impl Middleware for BasicAuth {
    fn wrap(&self, mut request: Request, next: Next) -> ResponseFuture {
        let Some(user) = self.user_of(&request) else {
            return Box::pin(std::future::ready(self.refuse().into_response()));
        };
        request.extensions_mut().insert(user);
        Box::pin(next.run(request))
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.users.iter().map(|(name, _)| name).collect();
        f.debug_struct("BasicAuth").field("challenge", &self.challenge).field("users", &names).finish()
    }
}

/// Returns `true` if both are equal. The time depends on the lengths only.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let differs = given.iter().zip(expected).fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
    (differs == 0) & (given.len() == expected.len())
}
