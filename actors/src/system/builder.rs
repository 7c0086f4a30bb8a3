//! Starting a system: resolves the cores, starts a thread for each shard, waits until all shards are ready.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::{
    cores::Cores,
    handle::System,
    threads::{FailureHook, ThreadExits},
};
use crate::{
    actor::{Registry, SystemShared},
    error::{FailureCause, ShardFailure, StartError},
    future::{catch_panic, panic_message},
    host::Host,
    shard::{Driver, InboxReceiver, Local, Park, Remote, ShardGroup, ShardKey, ShardSender, run},
    stop::Phase,
};

/// Default capacity of a driver's inbox, in messages.
pub(super) const DEFAULT_INBOX: usize = 4096;

/// Senders to the drivers of a system, ordered by shard.
pub type ShardSenders<D> = Vec<ShardSender<<D as Driver>::Msg>>;

/// Configures and starts a [`System`].
pub struct Builder {
    name: String,
    cores: Cores,
    host: Host,
    inbox: usize,
    registry: Registry,
    on_failure: Option<FailureHook>,
}

impl System {
    /// Returns a builder with the default configuration.
    pub fn builder() -> Builder {
        Builder {
            name: "shard".to_owned(),
            cores: Cores::default(),
            host: Host::default(),
            inbox: DEFAULT_INBOX,
            registry: Registry::new(),
            on_failure: None,
        }
    }
}

impl Builder {
    /// Sets the name of the system. Each thread is named after it and its shard's index, such as `shard-0`.
    /// Default: `shard`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of shards and the cores that they run on. Default: one shard for each core.
    #[must_use]
    pub fn cores(mut self, cores: Cores) -> Self {
        self.cores = cores;
        self
    }

    /// Sets the executor that hosts the shards. Default: glommio if its feature is on, else tokio.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Sets the capacity of each driver's inbox, in messages. Default: 4096.
    #[must_use]
    pub fn inbox(mut self, messages: usize) -> Self {
        self.inbox = messages;
        self
    }

    /// Sets the registry. It may be shared with other systems, and used before this system starts. Default: a
    /// new one.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// Sets a function that is called on the thread of a failed shard, if the shard fails after the start.
    ///
    /// The other shards run on. The function may stop the system.
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(&ShardFailure) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(hook));
        self
    }

    /// Starts shards that host actors and own no sockets.
    ///
    /// # Errors
    ///
    /// The cores are not available, or a shard did not start. Shards that did start are stopped again.
    pub fn start(self) -> Result<System, StartError> {
        self.start_with(|local| Ok(Park::new(local))).map(|(system, _)| system)
    }

    /// Starts shards with a driver each. `factory` creates the driver on the shard's own thread.
    ///
    /// Returns one sender for each shard, ordered by shard. Blocks until all shards are ready.
    ///
    /// # Errors
    ///
    /// The cores are not available, or a shard did not start. Shards that did start are stopped again.
    pub fn start_with<D: Driver>(
        self,
        factory: impl Fn(&Local) -> io::Result<D> + Send + Sync + 'static,
    ) -> Result<(System, ShardSenders<D>), StartError> {
        let cores = self.cores.resolve()?;
        let keys: Vec<ShardKey> = cores.iter().map(|_| ShardKey::new()).collect();
        let remotes = keys.iter().enumerate().map(new_remote).collect::<Result<Vec<_>, _>>()?;
        let exits = ThreadExits::new(remotes.len(), self.on_failure);
        let group = ShardGroup::new(remotes);
        let shared = SystemShared::new(Arc::clone(&group), self.registry);
        let new_inbox = |shard| {
            let dropped = Arc::clone(&shared.counters.messages_dropped);
            ShardSender::new(Arc::clone(shard), self.inbox, dropped)
        };
        let senders: Vec<_> = group.shards.iter().map(new_inbox).collect();

        let (ready, started) = mpsc::channel();
        let factory = Arc::new(factory);
        let mut threads = Vec::with_capacity(cores.len());
        for ((core, key), inbox) in cores.into_iter().zip(keys).zip(&senders) {
            let (group, exits, ready) = (Arc::clone(&group), Arc::clone(&exits), ready.clone());
            let thread = ShardThread { core, key, host: self.host, group, exits, ready };
            threads.push(thread.spawn(&self.name, inbox.clone(), Arc::clone(&factory)));
        }
        drop(ready);
        let threads = wait_until_started(&started, &group, threads)?;
        Ok((System::new(shared, exits, threads), senders))
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

/// Outcome of a shard's start.
type Started = Result<(), ShardFailure>;

/// Parts that the thread of a shard needs.
struct ShardThread {
    core: Option<usize>,
    key: ShardKey,
    host: Host,
    group: Arc<ShardGroup>,
    exits: Arc<ThreadExits>,
    ready: mpsc::Sender<Started>,
}

impl ShardThread {
    /// Starts the thread. Returns `None`, and reports the failure through `ready`, if the kernel refuses it.
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
                // Sending cannot fail: the receiver lives until all shards have been started.
                let _ = ready
                    .send(Err(ShardFailure { shard: index, cause: FailureCause::Host(Arc::new(error)) }));
                group.record_actors_exited(index);
                exits.record_end(index);
                None
            }
        }
    }

    /// Runs the shard until it ends.
    fn main<D: Driver>(self, inbox: ShardSender<D::Msg>, factory: &impl Fn(&Local) -> io::Result<D>) {
        let index = inbox.shard();
        let Self { core, key, host, group, exits, ready } = self;
        let remote = Arc::clone(&group.shards[index]);
        let mut is_started = false;
        let outcome = catch_panic(|| {
            let local = Local::new(Arc::clone(&remote), host, key);
            Local::set_current(Some(local.clone()));
            let on_start = || {
                is_started = true;
                let _ = ready.send(Ok(()));
            };
            host.run(core, run(local, Arc::clone(&group), inbox.clone(), factory, on_start))
        });
        Local::set_current(None);
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(FailureCause::Host(Arc::new(error))),
            Err(payload) => Err(FailureCause::Panic(panic_message(payload.as_ref()))),
        };
        // `run` has done this already, unless the host failed or panicked.
        inbox.close(&mut InboxReceiver::new());
        remote.close();
        group.record_actors_exited(index);
        if let Err(cause) = outcome {
            let failure = ShardFailure { shard: index, cause };
            if is_started {
                exits.record_failure(failure);
            } else {
                let _ = ready.send(Err(failure));
            }
        }
        exits.record_end(index);
    }
}

fn new_remote((index, key): (usize, &ShardKey)) -> Result<Arc<Remote>, StartError> {
    Remote::new(index, key.id()).map_err(|error| {
        StartError::Shards(vec![ShardFailure { shard: index, cause: FailureCause::Host(Arc::new(error)) }])
    })
}

/// Waits for the outcome of every shard's start. If one failed, stops and joins the others.
fn wait_until_started(
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
    group.raise_phase(Phase::Abort);
    for thread in threads {
        // The thread itself has reported any panic.
        let _ = thread.join();
    }
    failures.sort_by_key(|failure| failure.shard);
    Err(StartError::Shards(failures))
}
