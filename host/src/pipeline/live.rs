//! A live run seen from other terminals: a local socket in a private directory, where `ztc status` and `ztc cancel` knock.
//!
//! Whoever connects sends one line, an [`Ask`], and gets lines, each a [`Say`]. A reader that is slow or dead holds nobody up: records wait
//! for it where they are kept anyway, lines of output that it does not take in time are lost for it, and after a while it is dropped.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, ReadHalf, WriteHalf,
};
use tokio::sync::{broadcast, mpsc, watch};
use ztc_protocol::MAX_SOCKET_BYTES;

use crate::digest::sha256_hex;
use crate::error::Failure;
use crate::paths::Repository;
use crate::pipeline::event::{Event, Record};
use crate::pipeline::runner::{Told, Urgency, Wish};

/// How long a reader may take for what it was sent, and to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long readers may take for the last lines when the run is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many lines of output wait for a reader.
const WAITING_LINES: usize = 1024;

/// What a reader wants: its first and only line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// What happened so far.
    Snapshot,
    /// What happened so far and what will.
    Follow,
    /// The run is to end as with Ctrl-C; and then as [`Ask::Follow`].
    Cancel,
    /// Running stages are to be killed; and then as [`Ask::Follow`].
    Kill,
}

/// What a run says to a reader: one line each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// The first line: the last line of output of every task that prints.
    Last(BTreeMap<String, String>),
    /// What happened: as in the journal, from its first line.
    Record(Record),
    /// A line of output.
    Line {
        /// The task.
        task: String,
        /// The line, masked.
        line: String,
    },
}

/// The socket, and everything that was said. Removed with its value.
pub struct Live {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Ends when the last reader has gone.
    readers: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

struct Shared {
    log: Mutex<Log>,
    grown: watch::Sender<usize>,
    lines: broadcast::Sender<Arc<str>>,
    wish: mpsc::UnboundedSender<Wish>,
}

#[derive(Default)]
struct Log {
    /// Records as lines, newline included.
    records: Vec<Arc<str>>,
    last: BTreeMap<String, String>,
    ended: bool,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Opens the socket. Whoever does must hold the run lock: what is left of an earlier run is removed.
    pub fn open(
        repository: &Repository,
        environment: &str,
        wish: mpsc::UnboundedSender<Wish>,
    ) -> std::io::Result<Self> {
        let path = place(repository, environment)?;
        let _ = std::fs::remove_file(&path);
        let listener = ListenerOptions::new()
            .name(path.as_path().to_fs_name::<GenericFilePath>()?)
            .create_tokio()?;
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            grown: watch::Sender::new(0),
            lines: broadcast::Sender::new(WAITING_LINES),
            wish,
        });
        let readers = mpsc::channel(1);
        tokio::spawn(accept(listener, shared.clone(), readers.0.clone()));
        Ok(Self {
            shared,
            path,
            readers,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells readers what a run tells. Never waits.
    pub fn publish(&self, told: &Told<'_>) {
        match told {
            Told::Record(record, _) => {
                let Some(line) = text(&Say::Record((*record).clone())) else {
                    return;
                };
                let mut log = self.shared.log();
                if let Event::TaskSucceeded { task, .. } | Event::TaskStopped { task, .. } =
                    &record.event
                {
                    log.last.remove(task);
                }
                log.ended |= matches!(record.event, Event::RunFinished { .. });
                log.records.push(line);
                let count = log.records.len();
                drop(log);
                self.shared.grown.send_replace(count);
            }
            Told::Line { task, line } => {
                let (task, line) = ((*task).to_owned(), (*line).to_owned());
                self.shared.log().last.insert(task.clone(), line.clone());
                if self.shared.lines.receiver_count() > 0
                    && let Some(text) = text(&Say::Line { task, line })
                {
                    let _ = self.shared.lines.send(text);
                }
            }
        }
    }

    /// Ends: readers get what is left for a moment.
    pub async fn close(mut self) {
        self.shared.log().ended = true;
        self.shared.grown.send_modify(|_| ());
        // The task that accepts holds the other sender.
        let (own, mut gone) = self.readers;
        drop(own);
        let _ =
            tokio::time::timeout(FAREWELL, async { while gone.recv().await.is_some() {} }).await;
        let _ = std::fs::remove_file(std::mem::take(&mut self.path));
    }
}

fn text(say: &Say) -> Option<Arc<str>> {
    let mut line = serde_json::to_string(say).ok()?;
    line.push('\n');
    Some(line.into())
}

/// Lets readers in until the run is over.
async fn accept(listener: Listener, shared: Arc<Shared>, reader: mpsc::Sender<()>) {
    let mut grown = shared.grown.subscribe();
    loop {
        tokio::select! {
            stream = listener.accept() => {
                let Ok(stream) = stream else { continue };
                let (shared, reader) = (shared.clone(), reader.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &shared).await;
                    drop(reader);
                });
            }
            changed = grown.changed() => {
                if changed.is_err() || shared.log().ended {
                    return;
                }
            }
        }
    }
}

async fn serve(stream: Stream, shared: &Shared) -> std::io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if stream.peer_creds().ok().and_then(|peer| peer.euid()) != Some(own) {
        return Ok(());
    }
    let (input, mut output) = tokio::io::split(stream);
    let mut line = String::new();
    let mut input = BufReader::new(input.take(256));
    patiently(input.read_line(&mut line)).await?;
    let ask: Ask = serde_json::from_str(&line)?;
    let urgency = match ask {
        Ask::Cancel => Some(Urgency::Again),
        Ask::Kill => Some(Urgency::Kill),
        Ask::Snapshot | Ask::Follow => None,
    };
    if let Some(urgency) = urgency {
        let signal = "ztc cancel".to_owned();
        let _ = shared.wish.send(Wish { signal, urgency });
    }
    tell(shared, ask, &mut output).await?;
    output.shutdown().await
}

async fn tell(shared: &Shared, ask: Ask, output: &mut WriteHalf<Stream>) -> std::io::Result<()> {
    let mut lines = shared.lines.subscribe();
    let mut grown = shared.grown.subscribe();
    let last = text(&Say::Last(shared.log().last.clone())).unwrap_or_else(|| "".into());
    patiently(output.write_all(last.as_bytes())).await?;
    let mut told = 0;
    loop {
        let (new, ended) = {
            let log = shared.log();
            (log.records[told..].to_vec(), log.ended)
        };
        for record in &new {
            patiently(output.write_all(record.as_bytes())).await?;
        }
        told += new.len();
        if ended || ask == Ask::Snapshot {
            return Ok(());
        }
        tokio::select! {
            changed = grown.changed() => if changed.is_err() { return Ok(()) },
            line = lines.recv() => if let Ok(line) = line {
                patiently(output.write_all(line.as_bytes())).await?;
            },
        }
    }
}

async fn patiently<T>(future: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(result) => result,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// The reader's end.
pub struct Reader {
    lines: Lines<BufReader<ReadHalf<Stream>>>,
    /// Kept because the run would take its end for that of the reader.
    _output: WriteHalf<Stream>,
}

impl Reader {
    /// Knocks at a run.
    pub async fn connect(path: &Path, ask: Ask) -> std::io::Result<Self> {
        check_private(path.parent().unwrap_or(Path::new("/")))?;
        let stream = Stream::connect(path.to_fs_name::<GenericFilePath>()?).await?;
        let (input, mut output) = tokio::io::split(stream);
        let line = serde_json::to_string(&ask)? + "\n";
        patiently(output.write_all(line.as_bytes())).await?;
        Ok(Self {
            lines: BufReader::new(input).lines(),
            _output: output,
        })
    }

    /// Waits for what the run says next; nothing when it is over.
    pub async fn next(&mut self) -> Result<Option<Say>, Failure> {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::failed("the connection to the run broke").detail(error)
        };
        match self.lines.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| broken(&error)),
            Ok(None) => Ok(None),
            // A run that is killed does not say goodbye.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// The socket's path, its directory made: below the repository where it is short enough, else in a directory of the user's.
fn place(repository: &Repository, environment: &str) -> std::io::Result<PathBuf> {
    let near = repository.cache().join("live");
    let path = near.join(format!("{environment}.sock"));
    if path.as_os_str().len() <= MAX_SOCKET_BYTES {
        make_private(&near)?;
        return Ok(path);
    }
    let user = rustix::process::geteuid().as_raw();
    let short = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_dir() && runtime.as_os_str().len() < 60 => runtime.join("ztc"),
        _ => PathBuf::from(format!("/tmp/ztc-{user}")),
    };
    make_private(&short)?;
    let name = sha256_hex(path.as_os_str().as_encoded_bytes());
    Ok(short.join(format!("{}.sock", &name[..16])))
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    match builder.mode(0o700).recursive(false).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check_private(directory)
}

/// Whoever could replace the socket could pretend to be the run.
fn check_private(directory: &Path) -> std::io::Result<()> {
    let metadata = std::fs::symlink_metadata(directory)?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    match metadata.is_dir() && own && metadata.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(std::io::Error::other(format!(
            "`{}` is not a directory of yours alone",
            directory.display()
        ))),
    }
}
