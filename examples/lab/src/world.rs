//! Starts the world in a directory and keeps it running: HTTP server, SSH servers, the clock, and the files that programs outside need.
//!
//! Nothing listens anywhere but on loopback.

use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cloud::{self, Server};
use crate::faults::{Fault, Faults};
use crate::image;
use crate::node::{Login, Node};
use crate::state::State;
use crate::timing::Timing;
use crate::{api, files, ssh};

/// Servers that are not ours: with ours they fill more than one page of the largest size.
const STRANGERS: u64 = 53;
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(15);

/// How the world is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files go; must exist.
    pub directory: PathBuf,
    /// How many machines there are.
    pub nodes: u8,
    /// How many of them `answers.yaml` makes control planes.
    pub control_planes: u8,
    /// How many times faster than the real world it is.
    pub speed: f64,
    /// The public key, in OpenSSH's form, of the rescue system that all machines are in at the beginning; nothing: they run an old system.
    pub in_rescue: Option<String>,
    /// What goes wrong.
    pub faults: Vec<(Fault, u32)>,
    /// The program `ztc-lab`, which the stand-ins are.
    pub executable: PathBuf,
}

/// Why a world does not start.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A file or directory.
    #[error("cannot prepare `{path}`: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The loopback addresses.
    #[error("cannot listen on `{address}`: {source}{}", alias_hint())]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The numbers of nodes.
    #[error("{0}")]
    Size(String),
}

fn alias_hint() -> &'static str {
    if cfg!(target_os = "macos") {
        "; on macOS each address is made first: `sudo ifconfig lo0 alias 127.42.0.11`, and so on for each node"
    } else {
        ""
    }
}

/// A machine, as programs outside need to know it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// `controlplane` or `worker` in `answers.yaml`.
    pub role: &'static str,
    /// Its id at the cloud.
    pub server_id: u64,
}

/// How programs outside reach the world.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The directory of all its files.
    pub directory: PathBuf,
    /// An empty repository with `answers.yaml` and `ssh_config`.
    pub repository: PathBuf,
    /// The answers for `ztc init --answers`.
    pub answers: PathBuf,
    /// The OpenSSH client configuration that finds the nodes' port.
    pub ssh_config: PathBuf,
    /// The directory of the stand-ins for `talosctl` and `kubectl`.
    pub bin: PathBuf,
    /// The value of `HCLOUD_ENDPOINT`.
    pub endpoint: String,
    /// The value of `HCLOUD_TOKEN`, made up.
    pub token: String,
    /// The image factory.
    pub factory_url: String,
    /// The lab's own interface.
    pub control: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The machines.
    pub nodes: Vec<NodeInfo>,
}

/// What the servers share.
#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    begun: Instant,
    pub(crate) token: String,
}

impl Inner {
    /// The state, as it is now.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        state.tick(now);
        state
    }

    /// Sets a fault and what follows from it at once.
    pub(crate) fn set_fault(&self, fault: Fault, count: u32) {
        let mut state = self.lock();
        state.faults.set(fault, count);
        if fault == Fault::ManyServers {
            let wanted = STRANGERS + u64::from(count);
            state.servers.retain(|server| server.node.is_some());
            let ours = std::mem::replace(&mut state.servers, cloud::strangers(wanted));
            state.servers.extend(ours);
        }
    }
}

/// A running world. It ends when it is dropped.
#[derive(Debug)]
pub struct World {
    inner: Arc<Inner>,
    info: Info,
    _tasks: JoinSet<()>,
}

impl World {
    /// Starts a world.
    pub async fn start(options: Options) -> Result<Self, WorldError> {
        let roles = roles(&options)?;
        let http = listen("127.0.0.1", 0).await?;
        let url = format!(
            "http://{}",
            http.local_addr().map_err(|source| WorldError::Listen {
                address: "127.0.0.1".into(),
                source
            })?
        );
        let info = info(&options, &roles, &url)?;
        let nodes = machines(&info, options.in_rescue.as_deref())?;
        let servers = ours(&nodes);
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(
                Timing::new(options.speed),
                nodes.clone(),
                servers,
                Faults::default(),
            )),
            begun: Instant::now(),
            token: info.token.clone(),
        });
        inner.set_fault(Fault::ManyServers, 0);
        for (fault, count) in &options.faults {
            inner.set_fault(*fault, *count);
        }
        let mut tasks = JoinSet::new();
        let (guard, port) = common_port(&nodes).await?;
        let mut logins = Vec::new();
        for node in &nodes {
            let (sender, receiver) = watch::channel(None);
            logins.push(sender);
            let tools = files::rescue_tools(&info, &options.executable, node)?;
            tasks.spawn(ssh::serve(
                inner.clone(),
                receiver,
                ssh::Place {
                    ip: node.ip.clone(),
                    port,
                    tools,
                },
            ));
        }
        files::write(&info, &options.executable, port)?;
        let router = api::router(&inner);
        tasks.spawn(async move {
            // Serving ends only with the world.
            let _ = axum::serve(http, router).await;
        });
        tasks.spawn(clock(inner.clone(), logins, guard));
        Ok(Self {
            inner,
            info,
            _tasks: tasks,
        })
    }

    /// How programs outside reach the world.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Sets a fault.
    pub fn set_fault(&self, fault: Fault, count: u32) {
        self.inner.set_fault(fault, count);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.inner.lock().faults.clear();
    }

    /// The names of the nodes that are ready.
    pub fn ready(&self) -> Vec<String> {
        let state = self.inner.lock();
        let Some(view) = state.view() else {
            return Vec::new();
        };
        view.members
            .iter()
            .filter(|member| member.ready)
            .map(|member| member.node.name.clone())
            .collect()
    }
}

async fn listen(ip: &str, port: u16) -> Result<TcpListener, WorldError> {
    TcpListener::bind((ip, port))
        .await
        .map_err(|source| WorldError::Listen {
            address: format!("{ip}:{port}"),
            source,
        })
}

fn roles(options: &Options) -> Result<Vec<(String, &'static str)>, WorldError> {
    let (nodes, control_planes) = (options.nodes, options.control_planes);
    if control_planes == 0 || control_planes > nodes || nodes > 200 {
        return Err(WorldError::Size(format!(
            "{control_planes} of {nodes} nodes cannot be control planes: take 1 to 200 nodes and at least 1 control plane"
        )));
    }
    let first = (1..=control_planes).map(|number| (format!("cp{number:02}"), "controlplane"));
    let rest = (1..=nodes - control_planes).map(|number| (format!("worker{number:02}"), "worker"));
    Ok(first.chain(rest).collect())
}

fn info(
    options: &Options,
    roles: &[(String, &'static str)],
    url: &str,
) -> Result<Info, WorldError> {
    let directory = options
        .directory
        .canonicalize()
        .map_err(|source| WorldError::File {
            path: options.directory.clone(),
            source,
        })?;
    let repository = directory.join("repository");
    let nodes = roles
        .iter()
        .zip(1_u8..)
        .map(|((name, role), number)| NodeInfo {
            name: name.clone(),
            ip: Ipv4Addr::new(127, 42, 0, number + 10).to_string(),
            role,
            server_id: 42_000_000 + u64::from(number),
        });
    Ok(Info {
        answers: repository.join("answers.yaml"),
        ssh_config: repository.join("ssh_config"),
        bin: directory.join("bin"),
        endpoint: format!("{url}/v1"),
        token: secret(32).map_err(|source| WorldError::File {
            path: "/dev/urandom".into(),
            source,
        })?,
        factory_url: url.to_owned(),
        control: format!("{url}/lab"),
        cluster_name: "lab".into(),
        nodes: nodes.collect(),
        repository,
        directory,
    })
}

fn machines(info: &Info, in_rescue: Option<&str>) -> Result<Vec<Node>, WorldError> {
    let make = |node: &NodeInfo| -> Result<Node, WorldError> {
        let place = files::node_directory(info, &node.name);
        let disk = place.join("disk.raw");
        let made = std::fs::create_dir_all(&place).and_then(|()| image::old_disk(&disk));
        made.map_err(|source| WorldError::File {
            path: disk.clone(),
            source,
        })?;
        let machine = Node::new(node.name.clone(), node.ip.clone(), node.server_id, disk);
        Ok(match in_rescue {
            Some(key) => machine.in_rescue(key),
            None => machine,
        })
    };
    info.nodes.iter().map(make).collect()
}

fn ours(nodes: &[Node]) -> Vec<Server> {
    let server = |(index, node): (usize, &Node)| Server {
        id: node.server,
        name: node.name.clone(),
        ip: Some(node.ip.clone()),
        node: Some(index),
    };
    nodes.iter().enumerate().map(server).collect()
}

/// Finds a port that is free on every node's address. The listener on 127.42.0.1 keeps other worlds away from it while nodes are down.
async fn common_port(nodes: &[Node]) -> Result<(TcpListener, u16), WorldError> {
    // Below the ports that systems hand out to clients; worlds of one machine begin at different places.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    let mut last = None;
    for port in (first..32_000).chain(20_000..first) {
        match TcpListener::bind(("127.42.0.1", port)).await {
            Err(source) => last = Some(source),
            Ok(guard) => match free(nodes, port).await {
                Ok(()) => return Ok((guard, port)),
                Err(problem) => last = Some(problem),
            },
        }
        if last
            .as_ref()
            .is_some_and(|problem| problem.kind() != std::io::ErrorKind::AddrInUse)
        {
            break;
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(WorldError::Listen {
        address: "127.42.0.1".into(),
        source,
    })
}

async fn free(nodes: &[Node], port: u16) -> std::io::Result<()> {
    for node in nodes {
        TcpListener::bind((node.ip.as_str(), port)).await?;
    }
    Ok(())
}

/// Lets time pass and tells the SSH servers who may log in.
async fn clock(inner: Arc<Inner>, logins: Vec<watch::Sender<Option<Login>>>, _guard: TcpListener) {
    loop {
        let current: Vec<Option<Login>> = inner.lock().nodes.iter().map(Node::login).collect();
        for (sender, login) in logins.iter().zip(current) {
            sender.send_if_modified(|known| {
                let changed = *known != login;
                *known = login;
                changed
            });
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Letters and digits that nobody can guess.
fn secret(length: usize) -> std::io::Result<String> {
    let alphabet: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let mut bytes = vec![0_u8; length * 2];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .chunks_exact(2)
        .map(|pair| alphabet[usize::from(u16::from_le_bytes([pair[0], pair[1]])) % alphabet.len()])
        .collect())
}

/// Thirty-two bytes that nobody can guess.
pub(crate) fn seed() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The world's JSON line.
pub fn line(info: &Info) -> String {
    json!(info).to_string()
}

/// Says which file could not be written.
pub(crate) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> WorldError {
    let path = path.to_owned();
    |source| WorldError::File { path, source }
}
