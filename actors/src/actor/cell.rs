//! What an actor shares with its addresses. Outlives restarts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::{
    children::{Kin, Tie},
    exit::{ActorExit, ActorId, ExitReason},
    exit_notifier::Obituary,
    signal::Notice,
};
use crate::{
    error::{Closed, TellError},
    mailbox::{Intake, Letter, Mailbox},
    shard::{Local, Remote, ShardCell},
    stop::Phase,
    wake::{Target, Wakeable},
};

/// The shard's side of an actor's mailbox.
struct Track<M> {
    intake: Intake<M, Notice<M>>,
    /// The actor was asked to run for what is inside, and has not found the lane empty since.
    called: bool,
}

pub(crate) struct Post<M> {
    pub(crate) id: ActorId,
    pub(crate) name: Arc<str>,
    pub(crate) shard: Arc<Remote>,
    pub(crate) mailbox: Mailbox<M, Notice<M>>,
    lane: ShardCell<Track<M>>,
    pub(crate) wakeable: Arc<Wakeable>,
    pub(crate) addresses: Addresses,
    /// How far this actor was told to end; only ever rises.
    told: AtomicU8,
    pub(crate) obituary: Obituary,
}

impl<M> Post<M> {
    pub(crate) fn new(
        id: ActorId,
        name: &str,
        mailbox: Mailbox<M, Notice<M>>,
        shard: Arc<Remote>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.into(),
            mailbox,
            lane: ShardCell::new(shard.lock, Track { intake: Intake::new(), called: false }),
            wakeable: Wakeable::new(Arc::clone(&shard.line), Target::Guest),
            shard,
            addresses: Addresses::default(),
            told: AtomicU8::new(Phase::Running as u8),
            obituary: Obituary::default(),
        })
    }

    pub(crate) fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        match Local::of(&self.shard) {
            Some(local) => self.try_tell_here(message, &local),
            None => {
                self.mailbox.try_push(message)?;
                self.wakeable.wake_after_fence();
                Ok(())
            }
        }
    }

    fn try_tell_here(&self, message: M, local: &Local) -> Result<(), TellError<M>> {
        let mut key = local.key();
        let track = self.lane.enter(&mut key);
        track.intake.push(message, &self.mailbox)?;
        let called = std::mem::replace(&mut track.called, true);
        drop(key);
        if !called {
            local.call(&self.wakeable);
        }
        Ok(())
    }

    /// Waits for room.
    pub(crate) async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        if !self.mailbox.wait_for_room().await {
            return Err(Closed(message));
        }
        match Local::of(&self.shard) {
            Some(local) => self.put_here(message, &local),
            None => {
                self.mailbox.push_with_room(message);
                self.wakeable.wake_after_fence();
            }
        }
        Ok(())
    }

    fn put_here(&self, message: M, local: &Local) {
        let mut key = local.key();
        let track = self.lane.enter(&mut key);
        let refused = track.intake.push_with_room(message, &self.mailbox);
        let called = std::mem::replace(&mut track.called, true);
        drop(key);
        drop(refused);
        if !called {
            local.call(&self.wakeable);
        }
    }

    /// Takes the next letter. To be called by the actor only, so on its shard.
    pub(crate) fn take(&self, local: &Local) -> Option<Letter<M, Notice<M>>> {
        let mut key = local.key();
        let track = self.lane.enter(&mut key);
        let (letter, room) = track.intake.next(&self.mailbox);
        track.called = letter.is_some();
        drop(key);
        self.mailbox.give_back(room);
        letter
    }

    /// Has the actor hear something that needs no room.
    pub(crate) fn notify(&self, notice: Notice<M>) {
        self.mailbox.notify(notice);
        self.wakeable.wake_after_fence();
    }

    /// Closes the mailbox, drops and counts what is in it.
    pub(crate) fn close(&self) {
        self.mailbox.close();
        self.mailbox.abandon();
        if let Some(local) = Local::of(&self.shard) {
            let mut key = local.key();
            let rest = self.lane.enter(&mut key).intake.abandon(&self.mailbox);
            drop(key);
            drop(rest);
        }
    }

    pub(crate) fn ended(&self, why: ExitReason) -> ActorExit {
        ActorExit { id: self.id, name: Arc::clone(&self.name), shard: self.shard.index, reason: why }
    }

    /// Returns how far this actor itself was told to end.
    pub(crate) fn told(&self) -> Phase {
        Phase::of(self.told.load(Ordering::SeqCst))
    }
}

impl<M: Send + 'static> Kin for Post<M> {
    fn end(&self, how: Phase) {
        self.told.fetch_max(how as u8, Ordering::SeqCst);
        self.wakeable.wake_by_ref();
    }

    fn cancel(&self) {
        self.wakeable.cancel();
    }

    fn hear(&self, tie: Arc<Tie>) {
        self.notify(Notice::Child(tie));
    }
}

/// How many addresses of an actor live. An actor that nobody can tell anything any more ends.
#[derive(Debug, Default)]
pub(crate) struct Addresses(AtomicUsize);

impl Addresses {
    /// Adds one. From none only the actor itself may.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one unless there is none.
    pub(crate) fn add_to_others(&self) -> bool {
        let more = |known: usize| (known > 0).then_some(known + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes one away and says whether it was the last.
    pub(crate) fn remove(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}
