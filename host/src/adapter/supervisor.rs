//! Starts adapters, keeps them, and ends them all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use ztc_protocol::message::{
    Initialize, InitializeParams, InitializeResult, Peer, Shutdown, ShutdownParams,
};
use ztc_protocol::{Manifest, Method, PROTOCOL, ProtocolVersion};

use crate::adapter::connection::{CallError, Connection, LastWord, Listener};
use crate::adapter::ear::Ear;
use crate::adapter::guard::Guard;
use crate::adapter::limits::{self, Limits};
use crate::adapter::process::{self, Process};
use crate::adapter::report::{self, Scene};
use crate::adapter::{Candidate, Discovery, Source, builtin};
use crate::error::Failure;
use crate::process::ALLOWED_VARIABLES;
use crate::ui::Ui;

/// How long an adapter may take to end after the end of its stdin: as long as it needs where it has agreed to end, and only a moment
/// where it did not answer.
const AGREED: Duration = Duration::from_millis(1000);
const SILENT: Duration = Duration::from_millis(500);

/// The same after TERM, and after KILL, which the system needs a moment for.
const TERMINATED: Duration = Duration::from_millis(500);
const KILLED: Duration = Duration::from_secs(2);

/// How long the end of a process is waited for after its stdout has ended.
const LAST_MOMENT: Duration = Duration::from_millis(1000);

/// All adapters of one command; clones share them.
#[derive(Clone)]
pub struct Supervisor {
    discovery: Arc<Discovery>,
    ui: Ui,
    running: Arc<Mutex<BTreeMap<String, Cell>>>,
    guard: Arc<OnceLock<Option<Arc<Guard>>>>,
}

type Cell = Arc<OnceCell<Arc<Adapter>>>;

impl Supervisor {
    /// Starts nothing yet.
    pub fn new(discovery: Discovery, ui: Ui) -> Self {
        Self {
            discovery: Arc::new(discovery),
            ui,
            running: Arc::default(),
            guard: Arc::default(),
        }
    }

    /// Where adapters come from.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Starts an adapter and shakes hands; the second time returns the running one.
    pub async fn start(&self, name: &str) -> Result<Arc<Adapter>, Failure> {
        let cell = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(running.entry(name.to_owned()).or_default())
        };
        cell.get_or_try_init(|| self.launch(name)).await.cloned()
    }

    /// Starts several at the same time; the first failure wins.
    pub async fn start_all(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Arc<Adapter>>, Failure> {
        let started = self.start_each(names).await;
        started
            .into_iter()
            .map(|(name, result)| Ok((name, result?)))
            .collect()
    }

    /// Starts several at the same time, and says of each how it went.
    pub async fn start_each(
        &self,
        names: &[String],
    ) -> BTreeMap<String, Result<Arc<Adapter>, Failure>> {
        let mut tasks = JoinSet::new();
        for name in names {
            let (supervisor, name) = (self.clone(), name.clone());
            tasks.spawn(async move {
                let result = supervisor.start(&name).await;
                (name, result)
            });
        }
        tasks.join_all().await.into_iter().collect()
    }

    /// Ends all adapters: request, end of stdin, TERM, KILL, each with a limit.
    pub async fn shutdown(&self) {
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let adapters: Vec<_> = running
            .into_values()
            .filter_map(|cell| cell.get().cloned())
            .collect();
        let mut tasks = JoinSet::new();
        for adapter in adapters {
            tasks.spawn(async move { adapter.end().await });
        }
        tasks.join_all().await;
    }

    async fn launch(&self, name: &str) -> Result<Arc<Adapter>, Failure> {
        limits::check()?;
        let candidate = self.discovery.find(name)?;
        // A built-in ends with its host; others are watched.
        let guard = match candidate.source {
            Source::BuiltIn => None,
            _ => self.guard.get_or_init(Guard::start).clone(),
        };
        // What a built-in wants to see is known before it runs.
        let known = builtin::find(name).filter(|_| candidate.source == Source::BuiltIn);
        let variables = known
            .map(|adapter| granted(&(adapter.manifest)()))
            .unwrap_or_default();
        let adapter = Adapter::start(&candidate, &variables, &self.ui, guard.clone()).await?;
        let wanted = granted(&adapter.manifest);
        if wanted == variables {
            return Ok(Arc::new(adapter));
        }
        // What another adapter wants to see is known only now; where the operator has set some of it, the adapter starts anew with that.
        adapter.end().await;
        Ok(Arc::new(
            Adapter::start(&candidate, &wanted, &self.ui, guard).await?,
        ))
    }
}

/// The operator's variables that an adapter declares, where they are set and not everybody's anyway.
fn granted(manifest: &Manifest) -> Vec<(String, String)> {
    let names = manifest
        .environment
        .iter()
        .map(|variable| variable.name.as_str());
    let own = names.filter(|name| !ALLOWED_VARIABLES.contains(name) && !name.starts_with("LC_"));
    own.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

/// A running adapter.
pub struct Adapter {
    /// What was started.
    pub candidate: Candidate,
    /// What it said about itself.
    pub manifest: Manifest,
    /// The protocol that both speak.
    pub protocol: ProtocolVersion,
    link: Link,
}

impl Adapter {
    /// Sends a request and waits for the answer, within the call's time limits. The `call` of the parameters is filled in.
    pub async fn call<M: Method>(&self, params: M::Params) -> Result<M::Result, Failure> {
        if self
            .link
            .reported
            .try_lock()
            .is_ok_and(|reported| *reported)
        {
            return Err(report::gone(&self.candidate, M::NAME));
        }
        self.link.call::<M>(params, Some(&self.manifest)).await
    }

    /// Returns the SHA-256 of the executable; nothing for a built-in.
    pub fn digest(&self) -> Result<Option<String>, Failure> {
        if self.candidate.source == Source::BuiltIn {
            return Ok(None);
        }
        let program = &self.candidate.program;
        crate::digest::file(program)
            .map(Some)
            .map_err(|error| Failure::io("read", program, &error))
    }

    /// The directory where the adapter puts large content.
    pub fn scratch(&self) -> &Path {
        self.link.process.scratch()
    }

    /// Starts a program and shakes hands with it.
    async fn start(
        candidate: &Candidate,
        variables: &[(String, String)],
        ui: &Ui,
        guard: Option<Arc<Guard>>,
    ) -> Result<Self, Failure> {
        let link = Link::open(candidate, variables, ui, guard)?;
        let params = InitializeParams {
            protocols: vec![PROTOCOL],
            host: Peer {
                name: "ztc".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            scratch_dir: link.process.scratch().display().to_string(),
            ..InitializeParams::default()
        };
        let result = shake_hands(&link, params).await;
        match result {
            Ok(InitializeResult { protocol, manifest }) => Ok(Self {
                candidate: candidate.clone(),
                manifest,
                protocol,
                link,
            }),
            Err(failure) => {
                link.end(false).await;
                Err(failure)
            }
        }
    }

    async fn end(&self) {
        self.link.end(true).await;
    }
}

/// `initialize`, whose answer is looked at in two steps: another version of the protocol may have another form of it.
struct Handshake;

impl Method for Handshake {
    const NAME: &'static str = Initialize::NAME;
    type Params = InitializeParams;
    type Result = Value;
}

async fn shake_hands(link: &Link, params: InitializeParams) -> Result<InitializeResult, Failure> {
    let answer = link.call::<Handshake>(params, None).await?;
    let protocol = answer.get("protocol").cloned().unwrap_or_default();
    if let Ok(protocol) = serde_json::from_value::<ProtocolVersion>(protocol)
        && ProtocolVersion::agree(&[PROTOCOL], &[protocol]) != Some(protocol)
    {
        return Err(report::mismatch(&link.candidate, &[protocol]));
    }
    let result: InitializeResult = match serde_json::from_value(answer) {
        Ok(result) => result,
        Err(error) => {
            let scene = link.scene(Initialize::NAME, link.started, None);
            return Err(scene.failure(CallError::Form(error)));
        }
    };
    match result.manifest.name == link.candidate.name {
        true => Ok(result),
        false => Err(report::wrong_name(&link.candidate, &result.manifest.name)),
    }
}

/// A process and the connection to it.
struct Link {
    candidate: Candidate,
    process: Process,
    connection: Connection,
    ear: Arc<Ear>,
    started: Instant,
    /// Whether its end has been reported; held by the call that finds out how it ended.
    reported: tokio::sync::Mutex<bool>,
    /// Whether it has left a call without an answer, even when that was cancelled.
    unresponsive: AtomicBool,
}

impl Link {
    fn open(
        candidate: &Candidate,
        variables: &[(String, String)],
        ui: &Ui,
        guard: Option<Arc<Guard>>,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let process::Started {
            process,
            stdin,
            stdout,
        } = process::start(candidate, variables, guard)?;
        let ear = Arc::new(Ear::new(candidate.name.clone(), ui.clone()));
        let connection = Connection::open(stdout, stdin, Arc::clone(&ear) as Arc<dyn Listener>);
        Ok(Self {
            candidate: candidate.clone(),
            process,
            connection,
            ear,
            started,
            reported: tokio::sync::Mutex::new(false),
            unresponsive: AtomicBool::new(false),
        })
    }

    async fn call<M: Method>(
        &self,
        params: M::Params,
        manifest: Option<&Manifest>,
    ) -> Result<M::Result, Failure> {
        let called = Instant::now();
        match self
            .connection
            .request::<M>(params, Limits::of(M::NAME))
            .await
        {
            Ok(result) => Ok(result),
            Err(CallError::Gone) => Err(self.gone(M::NAME, called, manifest).await),
            Err(error) => {
                if let CallError::Idle(_, LastWord::Nothing)
                | CallError::Total(_, LastWord::Nothing) = error
                {
                    self.unresponsive.store(true, Ordering::Relaxed);
                }
                Err(self.scene(M::NAME, called, manifest).failure(error))
            }
        }
    }

    /// Says how the adapter ended. One call tells the whole story, and all others wait for it: whichever failure comes first is shown.
    async fn gone(
        &self,
        method: &'static str,
        called: Instant,
        manifest: Option<&Manifest>,
    ) -> Failure {
        let mut reported = self.reported.lock().await;
        if *reported {
            return report::gone(&self.candidate, method);
        }
        let scene = self.scene(method, called, manifest);
        let ended = self.process.end_within(LAST_MOMENT).await;
        self.process.kill();
        *reported = true;
        let scene = Scene {
            lasted: ended.map_or(scene.lasted, |ended| ended.after),
            status: ended.map(|ended| ended.status),
            stderr: self.ear.masked(&self.process.stderr()),
            ..scene
        };
        scene.failure(CallError::Gone)
    }

    fn scene(&self, method: &'static str, called: Instant, manifest: Option<&Manifest>) -> Scene {
        let unfinished = self.connection.unfinished();
        Scene {
            candidate: self.candidate.clone(),
            version: manifest
                .map(|manifest| manifest.version.clone())
                .unwrap_or_default(),
            homepage: manifest.and_then(|manifest| manifest.homepage.clone()),
            method,
            called: called.elapsed(),
            lasted: self.started.elapsed(),
            status: None,
            stderr: self.ear.masked(&self.process.stderr()),
            offenses: self.ear.masked(&self.ear.offenses()),
            unfinished: unfinished.map(|text| self.ear.masked(&[text]).concat()),
        }
    }

    /// Ends the process: asked where it is still on speaking terms, then left without stdin, then made to.
    async fn end(&self, ask: bool) {
        let mut patience = SILENT;
        let responsive = !self.unresponsive.load(Ordering::Relaxed);
        if ask && responsive && self.process.ended().is_none() {
            let limits = Limits::of(Shutdown::NAME);
            let params = ShutdownParams::default();
            if self
                .connection
                .request::<Shutdown>(params, limits)
                .await
                .is_ok()
            {
                patience = AGREED;
            }
        }
        self.ear.close();
        self.connection.close();
        if self.process.end_within(patience).await.is_none() {
            tracing::warn!(adapter = self.candidate.name, "does not end with its stdin");
            self.process.terminate();
            if self.process.end_within(TERMINATED).await.is_none() {
                self.ear.stubborn();
                self.process.kill();
                self.process.end_within(KILLED).await;
            }
        }
        self.process.clean();
    }
}
