//! From a configuration to running threads.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::bounded;
use ring::rand::{SecureRandom, SystemRandom};

use super::access::{Keeper, KeeperQueue, ToKeeper, load_access};
use super::delivery::{Board, StatusJob, StatusQueue, Workers};
use super::first_start::make_data_dir;
use super::health::{self, Health, OnLoss};
use super::routes::{Service, serve};
use super::settings::{VERSION, hydrogen_settings, reactor_settings, topic_bounds};
use super::shard::{Dialects, Peer, Seat};
use super::signaling::{RoomBoard, SignalingSeeds};
use super::start_error::StartError;
use super::status::rooms::RoomStatus;
use super::status::{About, StatusSource};
use super::stop::{Server, Threads};
use super::store;
use super::watch::{Beat, Watchdog};
use super::wiring::Wiring;
use crate::base::{Counters, DialectId, Metric, ReactorId, WorkerId};
use crate::config::{Config, SecureMode};
use crate::dialect::hydrogen::system::{self, SystemChannel};
use crate::dialect::hydrogen::{Channels, Hydrogen, HydrogenSettings, Parts, Reports, ShardImage};
use crate::engine::auth::{Access, Throttle, ThrottlePolicy};
use crate::engine::channel::{Channel, CompletionSink, Emitter, EventSink};
use crate::engine::conn::Settings;
use crate::engine::endpoint::Endpoint;
use crate::sys::clock::Clock;
use crate::sys::mailbox::{MESSAGE_BATCHES, ReactorSender, Reactors, WorkerReceiver, WorkerSender};
use crate::sys::network::NetworkChannel;
use crate::sys::reactor::{self, Reactor};
use crate::sys::store::gauges::StoreGauges;
use crate::sys::store::thread::{StoreSender, StoreThread};
use crate::sys::worker::{self, Lent, Worker};

/// Requests that may wait for the status service.
const STATUS_JOBS: usize = 1024;
/// Requests that may wait for the keeper of the access snapshot.
const KEEPER_JOBS: usize = 256;

/// Builds a server: a configuration, and channels of the application's own.
pub struct ServerBuilder {
    config: Config,
    channels: Vec<(String, Arc<dyn Channel>)>,
    on_loss: Option<OnLoss>,
}

impl Server {
    /// Begins to build a server.
    pub fn builder(config: Config) -> ServerBuilder {
        ServerBuilder { config, channels: Vec::new(), on_loss: None }
    }
}

impl ServerBuilder {
    /// Registers a channel: commands with this name go to it, and topics that begin with it are
    /// its to emit.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>, channel: impl Channel + 'static) -> ServerBuilder {
        self.channels.push((name.into(), Arc::new(channel)));
        self
    }

    /// What is done when a thread is lost, on that thread.
    pub(super) fn on_loss(mut self, on_loss: OnLoss) -> ServerBuilder {
        self.on_loss = Some(on_loss);
        self
    }

    /// Starts the server. It runs until it is stopped or dropped.
    pub fn start(self) -> Result<Server, StartError> {
        let config = self.config;
        if !config.web_socket_server.enabled {
            return Err(StartError::Disabled);
        }
        make_data_dir(&config.data_dir).map_err(|error| StartError::DataDir(config.data_dir.clone(), error))?;
        let clock = Clock::default();
        let tls = match &config.web_socket_server.secure_mode {
            SecureMode::None => None,
            SecureMode::Tls { certificate_path, key_path } => {
                Some(crate::sys::tls::server_config(certificate_path, key_path).map_err(StartError::Tls)?)
            }
        };
        let listeners = listen(&config)?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();

        let mut wiring = Wiring::new(&config).map_err(StartError::System)?;
        let gauges = Arc::new(StoreGauges::default());
        let store_counters = wiring.registry.register();
        let opened = store::open(&config, clock.now(), &gauges, &store_counters)?;
        let (keys, access) = load_access(&config, opened.blocks)?;
        let room_board = Arc::new(RoomBoard::default());
        let mut signaling = SignalingSeeds::gather(&config, opened.rooms, &room_board)?;
        let (status_send, status_receive) = bounded::<StatusJob>(STATUS_JOBS);
        let board = Arc::new(Board::default());
        let reports: Arc<dyn Reports> = Arc::new(StatusQueue { jobs: status_send.clone(), board: board.clone() });
        // An application's handlers may take their time. They have a thread for it, and a reactor has none.
        let is_lent = self.channels.is_empty();
        let network = NetworkChannel::new(super::settings::network_settings(&config));
        let (channels, network) = self::channels(self.channels, &reports, network, &config)?;
        let service_counters = wiring.registry.register();
        let worker_counters: Vec<_> = (0..wiring.worker_inboxes.len()).map(|_| wiring.registry.register()).collect();
        let reactor_counters: Vec<_> = (0..wiring.reactor_inboxes.len()).map(|_| wiring.registry.register()).collect();
        let ages = wiring.workers.iter().map(WorkerSender::ages).collect();
        let lost = Arc::new(AtomicU64::new(0));
        let registry = wiring.registry.clone();
        let status = Arc::new(StatusSource::new(
            registry,
            ages,
            lost.clone(),
            access.clone(),
            (board, gauges.clone()),
            RoomStatus::new(&config, &room_board),
            about(&config),
            clock.now(),
        ));
        let (keeper_send, keeper_receive) = bounded(KEEPER_JOBS);

        let mut threads = Threads::default();
        let workers = Arc::new(wiring.workers.clone());
        let sink = Arc::new(Workers { queues: workers.clone(), lost });
        let health = Arc::new(Health::new(self.on_loss));
        let mut beats: Vec<Beat> = Vec::new();
        let settings = Arc::new(hydrogen_settings(&config));
        let store::Opened { backend, image, .. } = opened;
        let store = StoreThread::spawn(
            backend,
            image.store.last,
            u16::try_from(workers.len()).unwrap_or(u16::MAX),
            store::sink(workers.clone()),
            store::on_commit(store_counters),
            gauges.clone(),
            |run| {
                health::spawn("store", &health, move || {
                    run();
                    Ok(())
                })
            },
        )
        .map_err(StartError::System)?;
        let store_send = store.sender();
        let mut lent: Vec<Arc<dyn Lent>> = Vec::new();
        for (index, inbox) in wiring.worker_inboxes.drain(..).enumerate() {
            let id = WorkerId(index as u16);
            let counters = worker_counters[index].clone();
            let shard =
                Seeds { config: &config, settings: &settings, access: &access, channels: &channels, image: &image };
            let mut shard = shard.plant(id, &sink, &reports, &counters, clock).map_err(StartError::System)?;
            if let Some(seeds) = &mut signaling {
                let seed = random_seed().map_err(StartError::System)?;
                let signaling = seeds.plant(id, &counters, seed, clock.now());
                let seat = Seat { worker: id, access: access.clone(), needs_key: config.signaling.needs_key };
                shard = shard.with_signaling(signaling, seat);
            }
            let reactors = wiring.reactors.clone();
            let worker = worker_parts(id, shard, inbox, reactors, &workers, &keeper_send, &store_send, counters, clock);
            let beat = worker.beat.clone();
            beats.push(Box::new(move || beat.load(Ordering::Relaxed)));
            let run = Worker::new(worker);
            if is_lent {
                lent.push(run.lent());
            }
            threads.workers.push(spawn(&format!("worker-{index}"), &health, move || {
                run.run();
                Ok(())
            })?);
        }
        let reactor_settings = Arc::new(reactor_settings(&config));
        let mut listeners = Some(listeners);
        for (index, (poll, inbox)) in wiring.reactor_inboxes.drain(..).enumerate() {
            let id = ReactorId(index as u8);
            let requests = status_send.clone();
            let parts = reactor::Parts {
                id,
                poll,
                listeners: listeners.take().unwrap_or_default(),
                tls: tls.clone(),
                inbox,
                reactors: wiring.reactors.clone(),
                workers: wiring.workers.clone(),
                lent: lent.clone(),
                requests: Box::new(move |request| match requests.try_send(StatusJob::Http(request)) {
                    Ok(()) => Ok(()),
                    Err(error) => match error.into_inner() {
                        StatusJob::Http(request) => Err(request),
                        StatusJob::Report { .. } => Ok(()),
                    },
                }),
                endpoint: endpoint(id, &config, &reactor_settings, &access, &reactor_counters),
                counters: reactor_counters[index].clone(),
                clock,
            };
            let reactor = Reactor::new(parts).map_err(StartError::System)?;
            let turns = reactor_counters[index].clone();
            beats.push(Box::new(move || turns.value(Metric::TURNS)));
            threads.reactors.push(spawn(&format!("reactor-{index}"), &health, move || reactor.run())?);
        }
        let completions: Arc<dyn CompletionSink> = sink.clone();
        let events: Arc<dyn EventSink> = sink;
        let keeper = Keeper {
            queue: keeper_receive,
            keys,
            access,
            reactors: wiring.reactors.clone(),
            workers: workers.clone(),
            completions,
            clock,
            status: status.clone(),
            status_interval: config.monitoring.status_interval,
            emitter: Emitter::new("system", events.clone()),
            watchdog: Watchdog::from_environment(beats),
            store: store_send.clone(),
            gauges: gauges.clone(),
            unwritten: VecDeque::new(),
        };
        threads.services.push(spawn("keeper", &health, move || {
            keeper.run();
            Ok(())
        })?);
        let service = Service {
            jobs: status_receive,
            status: status.clone(),
            public: config.security.public_status,
            reactors: Reactors(Arc::new(wiring.reactors.clone())),
            clock,
            counters: service_counters,
        };
        threads.services.push(spawn("status", &health, move || {
            serve(&service);
            Ok(())
        })?);
        channels.start(&events);
        Ok(Server {
            addresses,
            is_tls: tls.is_some(),
            drain_timeout: config.shutdown.drain_timeout,
            clock,
            reactors: wiring.reactors,
            workers,
            status,
            threads,
            keeper: keeper_send,
            network,
            store: Some(store),
            health,
        })
    }
}

/// What every worker's shard is made from.
struct Seeds<'a> {
    config: &'a Config,
    settings: &'a Arc<HydrogenSettings>,
    access: &'a Arc<Access>,
    channels: &'a Arc<Channels>,
    image: &'a Arc<ShardImage>,
}

impl Seeds<'_> {
    fn plant(
        self,
        worker: WorkerId,
        sink: &Arc<Workers>,
        reports: &Arc<dyn Reports>,
        counters: &Arc<Counters>,
        clock: Clock,
    ) -> io::Result<Dialects> {
        let hydrogen = Hydrogen::new(Parts {
            worker,
            workers: self.config.web_socket_server.thread_pool_size.max(1),
            settings: self.settings.clone(),
            access: self.access.clone(),
            channels: self.channels.clone(),
            completions: sink.clone(),
            reports: reports.clone(),
            counters: counters.clone(),
            bounds: topic_bounds(self.config),
            seed: random_seed()?,
            started: clock.now(),
            image: self.image.clone(),
        });
        Ok(Dialects::new(hydrogen, counters.clone()))
    }
}

fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(seed)
}

#[allow(clippy::too_many_arguments, reason = "it only gives names to what start() has at hand")]
fn worker_parts(
    id: WorkerId,
    shard: Dialects,
    inbox: WorkerReceiver<Peer>,
    reactors: Vec<ReactorSender>,
    workers: &Arc<Vec<WorkerSender<Peer>>>,
    keeper: &KeeperQueue,
    store: &StoreSender,
    counters: Arc<Counters>,
    clock: Clock,
) -> worker::Parts<Dialects> {
    let keeper = keeper.clone();
    let store = store.clone();
    worker::Parts {
        store: Box::new(move |requests| store.try_send(requests)),
        id,
        shard,
        inbox: Arc::new(inbox),
        reactors,
        workers: workers.to_vec(),
        controls: Box::new(move |worker, control| match keeper.try_send(ToKeeper::Control(worker, control)) {
            Ok(()) => Ok(()),
            Err(error) => match error.into_inner() {
                ToKeeper::Control(_, control) => Err(control),
                ToKeeper::Reload | ToKeeper::Stop => Ok(()),
            },
        }),
        counters,
        beat: Arc::default(),
        clock,
    }
}

fn endpoint(
    id: ReactorId,
    config: &Config,
    settings: &Arc<Settings>,
    access: &Arc<Access>,
    counters: &[Arc<Counters>],
) -> Endpoint {
    let policy = ThrottlePolicy::per_minute(config.rate_limit.handshake_failures, config.web_socket_server.io_threads);
    let own = usize::from(id.0);
    let throttle = Throttle::new(policy);
    let mut endpoint = Endpoint::new(id, settings.clone(), access.clone(), counters[own].clone(), throttle);
    let others = counters.iter().enumerate().filter(|(index, _)| *index != own);
    endpoint.set_neighbours(others.map(|(_, counters)| counters.clone()).collect());
    endpoint
}

/// Listens on every configured address. A port of 0 is any free one, and the same for all.
fn listen(config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for mut address in config.web_socket_server.addresses() {
        if address.port() == 0
            && let Some(first) = listeners.first().and_then(|first| first.local_addr().ok())
        {
            address.set_port(first.port());
        }
        listeners.push(reactor::bind(address).map_err(|error| StartError::Listen(address, error))?);
    }
    Ok(listeners)
}

/// The built-in channels and the application's own.
fn channels(
    own: Vec<(String, Arc<dyn Channel>)>,
    reports: &Arc<dyn Reports>,
    network: NetworkChannel,
    config: &Config,
) -> Result<(Arc<Channels>, Arc<NetworkChannel>), StartError> {
    let mut channels = Channels::default();
    let system = Arc::new(SystemChannel::new(reports.clone()));
    let network = Arc::new(network);
    channels.add("system", system.clone()).map_err(StartError::Channel)?;
    channels.add("network", network.clone()).map_err(StartError::Channel)?;
    for (name, channel) in own {
        channels.add(&name, channel).map_err(StartError::Channel)?;
    }
    let info = info(config, &channels);
    system.describe(system::About { info: info.to_string().into(), channels: channels.describe() });
    Ok((Arc::new(channels), network))
}

/// The data of `system.info`.
fn info(config: &Config, channels: &Channels) -> serde_json::Value {
    let limits: serde_json::Value = serde_json::from_str(&hydrogen_settings(config).limits).unwrap_or_default();
    let dialects: Vec<&str> = DialectId::ALL
        .iter()
        .filter(|dialect| match dialect {
            DialectId::Hydrogen => true,
            DialectId::Echo => config.web_socket_server.echo,
            DialectId::Signaling => config.signaling.enabled,
        })
        .map(|dialect| dialect.as_str())
        .collect();
    serde_json::json!({
        "server": {"name": config.server_name, "version": VERSION},
        "protocol": {"name": "hydrogen-protocol", "version": 1},
        "limits": limits,
        "dialects": dialects,
        "channels": channels.names().collect::<Vec<_>>(),
    })
}

fn about(config: &Config) -> About {
    let workers = config.web_socket_server.thread_pool_size.max(1);
    About {
        server_name: config.server_name.clone(),
        server_version: VERSION,
        queue_limit: workers * MESSAGE_BATCHES,
        connections_max: config.web_socket_server.max_connections,
        workers,
        outbound_max: config.outbound.max_bytes_total,
    }
}

fn spawn(
    name: &str,
    health: &Arc<Health>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    health::spawn(name, health, run).map_err(StartError::System)
}
