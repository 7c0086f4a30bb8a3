//! The state that an actor shares with its addresses. It survives restarts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::{
    children::{ActorControl, ParentLink},
    exit::{ActorExit, ActorId, ExitReason},
    exit_notifier::ExitNotifier,
    signal::Signal,
};
use crate::{
    error::{Closed, TellError},
    mailbox::{Envelope, Mailbox, Receiver},
    shard::{Local, Remote, ShardCell},
    stop::Phase,
    wake::{WakeTarget, Wakeable},
};

/// The receiving side of an actor's mailbox. Only the thread of the actor's shard enters it.
struct Inbox<M> {
    receiver: Receiver<M, Signal<M>>,
    /// `true` while the actor will check the mailbox without a further wake: from a message of its own shard
    /// until it finds the mailbox empty.
    scheduled: bool,
}

/// State shared by an actor and its addresses.
pub(crate) struct ActorCell<M> {
    pub(crate) id: ActorId,
    pub(crate) name: Arc<str>,
    pub(crate) shard: Arc<Remote>,
    pub(crate) mailbox: Mailbox<M, Signal<M>>,
    inbox: ShardCell<Inbox<M>>,
    /// Wakes the task of the actor.
    pub(crate) wakeable: Arc<Wakeable>,
    pub(crate) addresses: AddressCount,
    /// Phase of this actor's own stop. It only ever rises.
    stop_phase: AtomicU8,
    pub(crate) exit_notifier: ExitNotifier,
}

impl<M> ActorCell<M> {
    /// Creates the state of an actor that has not started.
    pub(crate) fn new(
        id: ActorId,
        name: &str,
        mailbox: Mailbox<M, Signal<M>>,
        shard: Arc<Remote>,
    ) -> Arc<Self> {
        let inbox = Inbox { receiver: Receiver::new(), scheduled: false };
        Arc::new(Self {
            id,
            name: name.into(),
            mailbox,
            inbox: ShardCell::new(shard.key_id, inbox),
            wakeable: Wakeable::new(Arc::clone(&shard.wakes), WakeTarget::Task),
            shard,
            addresses: AddressCount::default(),
            stop_phase: AtomicU8::new(Phase::Running as u8),
            exit_notifier: ExitNotifier::default(),
        })
    }

    /// Sends a message if the mailbox has a free slot.
    pub(crate) fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        match Local::of(&self.shard) {
            Some(local) => self.try_tell_local(message, &local),
            None => {
                self.mailbox.try_push(message)?;
                self.wakeable.wake_after_fence();
                Ok(())
            }
        }
    }

    fn try_tell_local(&self, message: M, local: &Local) -> Result<(), TellError<M>> {
        let mut key = local.key();
        let inbox = self.inbox.enter(&mut key);
        inbox.receiver.push(message, &self.mailbox)?;
        let was_scheduled = std::mem::replace(&mut inbox.scheduled, true);
        drop(key);
        if !was_scheduled {
            local.schedule(&self.wakeable);
        }
        Ok(())
    }

    /// Sends a message as soon as the mailbox has a free slot.
    pub(crate) async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        if !self.mailbox.acquire_slot().await {
            return Err(Closed(message));
        }
        match Local::of(&self.shard) {
            Some(local) => self.push_local(message, &local),
            None => {
                self.mailbox.push_acquired(message);
                self.wakeable.wake_after_fence();
            }
        }
        Ok(())
    }

    fn push_local(&self, message: M, local: &Local) {
        let mut key = local.key();
        let inbox = self.inbox.enter(&mut key);
        let dropped = inbox.receiver.push_acquired(message, &self.mailbox);
        let was_scheduled = std::mem::replace(&mut inbox.scheduled, true);
        drop(key);
        drop(dropped);
        if !was_scheduled {
            local.schedule(&self.wakeable);
        }
    }

    /// Takes the next message or signal, or returns `None` if the mailbox is empty. Called by the actor only,
    /// on its shard.
    pub(crate) fn receive(&self, local: &Local) -> Option<Envelope<M, Signal<M>>> {
        let mut key = local.key();
        let inbox = self.inbox.enter(&mut key);
        let (envelope, slots) = inbox.receiver.pop(&self.mailbox);
        inbox.scheduled = envelope.is_some();
        drop(key);
        self.mailbox.release_slots(slots);
        envelope
    }

    /// Sends a signal and wakes the actor. The signal occupies no slot of the mailbox.
    pub(crate) fn signal(&self, signal: Signal<M>) {
        self.mailbox.push_signal(signal);
        self.wakeable.wake_after_fence();
    }

    /// Closes the mailbox, then drops and counts the messages in it.
    pub(crate) fn close(&self) {
        self.mailbox.close();
        self.mailbox.abandon();
        if let Some(local) = Local::of(&self.shard) {
            let mut key = local.key();
            let rest = self.inbox.enter(&mut key).receiver.abandon(&self.mailbox);
            drop(key);
            drop(rest);
        }
    }

    /// Returns the description of an exit for this reason.
    pub(crate) fn exit(&self, reason: ExitReason) -> ActorExit {
        ActorExit { id: self.id, name: Arc::clone(&self.name), shard: self.shard.index, reason }
    }

    /// Returns the phase of this actor's own stop.
    pub(crate) fn stop_phase(&self) -> Phase {
        Phase::from_byte(self.stop_phase.load(Ordering::SeqCst))
    }
}

impl<M: Send + 'static> ActorControl for ActorCell<M> {
    fn stop(&self, phase: Phase) {
        self.stop_phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.wakeable.wake_by_ref();
    }

    fn cancel(&self) {
        self.wakeable.cancel();
    }

    fn signal_child(&self, link: Arc<ParentLink>) {
        self.signal(Signal::Child(link));
    }
}

/// Number of addresses of an actor. An actor without addresses exits, because nobody can send it a message.
#[derive(Debug, Default)]
pub(crate) struct AddressCount(AtomicUsize);

impl AddressCount {
    /// Adds one. While the count is zero, only the actor itself, or the code that spawns it, may call this.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one unless the count is zero. Returns `true` if it did.
    pub(crate) fn increment_if_nonzero(&self) -> bool {
        let next = |count: usize| (count > 0).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Subtracts one. Returns `true` if that leaves none.
    pub(crate) fn decrement(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}
