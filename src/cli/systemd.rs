//! Notifications to systemd (`Type=notify`), see sd_notify(3).

use sd_notify::NotifyState;

/// Notifies systemd that the server accepts connections.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// Notifies systemd that the server drains.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager, check NOTIFY_SOCKET");
    }
}
