//! Access for operators: the flags, the `[admin]` section of the file, and the routes.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::tokens::Token;
use windlass::{Listen, Router, admin_routes, identity::Subjects};

/// Flags for operators.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct AdminFlags {
    /// Address for metrics, the live page, health checks and admin routes, instead of the --listen addresses,
    /// which keep the health checks
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// File with the token that requests to admin routes must send, instead of the variable
    /// WINDLASS_ADMIN_TOKEN. Without a token there are no admin routes
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// The `[admin]` section of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminConfig {
    listen: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// Overrides the file with the environment and the flags, and reads the token.
    pub(super) fn resolve(mut self, flags: &AdminFlags) -> Result<Self, String> {
        self.listen = flags.admin_listen.clone().or(self.listen);
        let configured = (self.token.take(), self.token_file.take());
        let flag = (None, flags.admin_token_file.clone());
        self.token = Token::resolve("admin.token", flag, "WINDLASS_ADMIN_TOKEN", configured)?;
        Ok(self)
    }

    /// Returns `true` if there is an admin listener.
    pub(super) fn has_listener(&self) -> bool {
        self.listen.is_some()
    }

    /// Returns the address of the admin listener, or `None` if there is none.
    pub(super) fn listen(&self) -> Result<Option<Listen>, String> {
        let parse = |text: &str| text.parse().map_err(|error| format!("admin.listen: {error}"));
        self.listen.as_deref().map(parse).transpose()
    }

    /// Adds the admin routes to a router, if there is a token.
    pub(super) fn add_routes(&self, router: Router, subjects: &Subjects) -> Router {
        match &self.token {
            Some(token) => admin_routes(router, subjects, token.as_str()),
            None => router,
        }
    }
}
