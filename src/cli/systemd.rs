//! What systemd is told, where it started the server (`Type=notify`): sd_notify(3).

use sd_notify::NotifyState;

/// Says that the server serves.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// Says that the server drains.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "NOTIFY_SOCKET does not take what the service manager shall know");
    }
}
