//! Sans-I/O protocols.
