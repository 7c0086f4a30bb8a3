//! The error that ends a session, with a label for metrics.
//!
//! The labels are a fixed set. The number of time series thus does not depend on what peers send.

/// The error that ends a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionError {
    /// Label for metrics, from a fixed set.
    pub(crate) label: &'static str,
    /// Description for logs.
    pub(crate) text: String,
}

#[cfg(feature = "tls")]
mod rustls_error {
    use rustls::{AlertDescription as Alert, Error};

    use super::SessionError;

    impl From<Error> for SessionError {
        fn from(error: Error) -> Self {
            Self { label: label(&error), text: error.to_string() }
        }
    }

    fn label(error: &Error) -> &'static str {
        match error {
            Error::AlertReceived(alert) => alert_label(*alert),
            Error::NoApplicationProtocol => "no_application_protocol",
            Error::PeerIncompatible(_) => "incompatible",
            Error::InvalidMessage(_) => "invalid_message",
            Error::DecryptError => "decrypt_error",
            Error::PeerSentOversizedRecord => "oversized_record",
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => "misbehaved",
            _ => "other",
        }
    }

    /// Returns the label of an alert from the peer. Most alerts are about the server's certificate.
    fn alert_label(alert: Alert) -> &'static str {
        match alert {
            Alert::UnknownCA => "alert_unknown_ca",
            // Some clients report a signature that they cannot verify as a decryption error.
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::DecryptError => "alert_bad_certificate",
            Alert::CertificateExpired | Alert::CertificateRevoked => "alert_expired_certificate",
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => {
                "alert_incompatible"
            }
            Alert::UserCanceled => "alert_user_canceled",
            _ => "alert_other",
        }
    }
}
