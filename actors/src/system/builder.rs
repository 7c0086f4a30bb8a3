//! Starts a system: resolves the cores, starts a thread for each shard, waits until all are ready.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::{
    cores::{Cores, ShardCores},
    exits::{FailureHook, ThreadExits},
    handle::System,
};
use crate::{
    actor::{Registry, SystemShared},
    error::{FailureCause, ShardFailure, StartError},
    future::{contain, panic_message},
    host::Host,
    mailbox::Intake,
    shard::{Driver, Key, Local, Park, Remote, ShardGroup, ShardSender, run},
    stop::Phase,
};

/// Messages that may wait for one shard's driver, unless told otherwise.
const INBOX: usize = 4096;

/// The senders to the drivers of a system's shards, in the order of their indices.
pub type ShardSenders<D> = Vec<ShardSender<<D as Driver>::Msg>>;

/// Says how a [`System`] shall be, then starts it.
pub struct Builder {
    name: String,
    cores: Cores,
    host: Host,
    inbox: usize,
    registry: Registry,
    on_failure: Option<FailureHook>,
}

impl System {
    /// Says how a system shall be.
    pub fn builder() -> Builder {
        Builder {
            name: "shard".to_owned(),
            cores: Cores::default(),
            host: Host::default(),
            inbox: INBOX,
            registry: Registry::new(),
            on_failure: None,
        }
    }
}

impl Builder {
    /// Names the system; its threads are called by it and their shard's index. Default: `shard`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says how many shards there are and where they run. Default: one for each core.
    #[must_use]
    pub fn cores(mut self, cores: Cores) -> Self {
        self.cores = cores;
        self
    }

    /// Chooses the executor that hosts the shards. Default: glommio if it was built in, else tokio.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Bounds the messages that may wait for one shard's driver. Default: 4096.
    #[must_use]
    pub fn inbox(mut self, messages: usize) -> Self {
        self.inbox = messages;
        self
    }

    /// Shares a registry with other systems, or with whoever needs it before this one starts. Default: its own.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// Has `hook` called, on the failing shard's thread, when a shard fails after the start.
    ///
    /// Other shards run on; stopping the system is the hook's choice.
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(&ShardFailure) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(hook));
        self
    }

    /// Starts shards that host actors and own no sockets.
    ///
    /// # Errors
    ///
    /// The cores cannot be had, or shards did not start; those that did are stopped again.
    pub fn start(self) -> Result<System, StartError> {
        self.start_with(|local| Ok(Park::new(local))).map(|(system, _)| system)
    }

    /// Starts shards that run a driver each, which `factory` makes on the shard's own thread.
    ///
    /// Returns one sender for each shard, in the order of their indices. Blocks until all shards are ready.
    ///
    /// # Errors
    ///
    /// The cores cannot be had, or shards did not start; those that did are stopped again.
    pub fn start_with<D: Driver>(
        self,
        factory: impl Fn(&Local) -> io::Result<D> + Send + Sync + 'static,
    ) -> Result<(System, ShardSenders<D>), StartError> {
        let seats = ShardCores::resolve(&self.cores)?.seats;
        let keys: Vec<Key> = seats.iter().map(|_| Key::new()).collect();
        let remotes = keys.iter().enumerate().map(new_remote).collect::<Result<Vec<_>, _>>()?;
        let exits = ThreadExits::new(remotes.len(), self.on_failure);
        let group = ShardGroup::new(remotes);
        let shared = SystemShared::new(Arc::clone(&group), self.registry);
        let refused = &shared.counters.refused;
        let senders: Vec<_> = group
            .shards
            .iter()
            .map(|shard| ShardSender::new(Arc::clone(shard), self.inbox, Arc::clone(refused)))
            .collect();

        let (ready, started) = mpsc::channel();
        let factory = Arc::new(factory);
        let mut threads = Vec::with_capacity(seats.len());
        for ((core, key), inbox) in seats.into_iter().zip(keys).zip(&senders) {
            let (group, exits, ready) = (Arc::clone(&group), Arc::clone(&exits), ready.clone());
            let birth = Birth { core, key, host: self.host, group, exits, ready };
            threads.push(birth.spawn(&self.name, inbox.clone(), Arc::clone(&factory)));
        }
        drop(ready);
        await_start(&started, &group, threads).map(|threads| (System::new(shared, exits, threads), senders))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("cores", &self.cores)
            .field("host", &self.host)
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}

type Started = Result<(), ShardFailure>;

/// What one shard's thread is born with.
struct Birth {
    core: Option<usize>,
    key: Key,
    host: Host,
    group: Arc<ShardGroup>,
    exits: Arc<ThreadExits>,
    ready: mpsc::Sender<Started>,
}

impl Birth {
    fn spawn<D: Driver>(
        self,
        name: &str,
        inbox: ShardSender<D::Msg>,
        factory: Arc<impl Fn(&Local) -> io::Result<D> + Send + Sync + 'static>,
    ) -> Option<JoinHandle<()>> {
        let (index, ready) = (inbox.shard(), self.ready.clone());
        let (group, exits) = (Arc::clone(&self.group), Arc::clone(&self.exits));
        let thread = thread::Builder::new().name(format!("{name}-{index}"));
        match thread.spawn(move || self.main(inbox, &*factory)) {
            Ok(thread) => Some(thread),
            Err(error) => {
                // The receiver outlives all shards' births.
                let _ = ready
                    .send(Err(ShardFailure { shard: index, cause: FailureCause::Host(Arc::new(error)) }));
                group.actors_ended(index);
                exits.left(index);
                None
            }
        }
    }

    /// The whole life of a shard's thread.
    fn main<D: Driver>(self, inbox: ShardSender<D::Msg>, factory: &impl Fn(&Local) -> io::Result<D>) {
        let index = inbox.shard();
        let Self { core, key, host, group, exits, ready } = self;
        let remote = Arc::clone(&group.shards[index]);
        let mut is_up = false;
        let outcome = contain(|| {
            let local = Local::new(Arc::clone(&remote), host, key);
            Local::set_current(Some(local.clone()));
            let tell = || {
                is_up = true;
                let _ = ready.send(Ok(()));
            };
            host.run(core, run(local, Arc::clone(&group), inbox.clone(), factory, tell))
        });
        Local::set_current(None);
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(FailureCause::Host(Arc::new(error))),
            Err(payload) => Err(FailureCause::Panic(panic_message(payload.as_ref()))),
        };
        // Repeated for the ends that did not come through the loop.
        inbox.close(&mut Intake::new());
        remote.close();
        group.actors_ended(index);
        if let Err(cause) = outcome {
            let failure = ShardFailure { shard: index, cause };
            if is_up {
                exits.failed(failure);
            } else {
                let _ = ready.send(Err(failure));
            }
        }
        exits.left(index);
    }
}

fn new_remote((index, key): (usize, &Key)) -> Result<Arc<Remote>, StartError> {
    Remote::new(index, key.lock()).map_err(|error| {
        StartError::Shards(vec![ShardFailure { shard: index, cause: FailureCause::Host(Arc::new(error)) }])
    })
}

/// Waits for every shard's word. If one failed, stops and joins the others.
fn await_start(
    started: &mpsc::Receiver<Started>,
    group: &ShardGroup,
    threads: Vec<Option<JoinHandle<()>>>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut failures = Vec::new();
    for _ in 0..threads.len() {
        match started.recv() {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => failures.push(failure),
            Err(mpsc::RecvError) => break,
        }
    }
    let threads: Vec<_> = threads.into_iter().flatten().collect();
    if failures.is_empty() {
        return Ok(threads);
    }
    group.raise(Phase::Abort);
    for thread in threads {
        // What the thread died of was told by itself.
        let _ = thread.join();
    }
    failures.sort_by_key(|failure| failure.shard);
    Err(StartError::Shards(failures))
}
