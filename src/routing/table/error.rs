//! The error of an invalid route.

use std::fmt;

use crate::routing::route::Route;

/// The error of a route that is invalid or conflicts with another one. The message names the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    route: String,
    problem: String,
}

impl RouteError {
    pub(super) fn new(route: &Route, problem: impl Into<String>) -> Self {
        Self { route: format!("{} {}", route.method_name(), route.path), problem: problem.into() }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid route {}: {}", self.route, self.problem)
    }
}

impl std::error::Error for RouteError {}
