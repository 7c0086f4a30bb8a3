//! Names for what goes wrong in a session: few enough to be labels of a metric, whatever peers send.

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

/// Names what a peer says about us; the usual ones are about the certificate.
fn alert_label(alert: Alert) -> &'static str {
    match alert {
        Alert::UnknownCA => "alert_unknown_ca",
        // Whose signature a client cannot verify it calls a decryption error.
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
