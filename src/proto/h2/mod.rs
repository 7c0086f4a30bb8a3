//! HTTP/2 (RFC 9113), what the server looks at by itself, sans-I/O.

pub mod meter;
pub mod hpack;
pub mod preface;
