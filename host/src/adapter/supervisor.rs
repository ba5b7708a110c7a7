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
use crate::adapter::grant::Grant;
use crate::adapter::keeper::{self, Leftovers};
use crate::adapter::limits::{self, Limits};
use crate::adapter::process::{self, Manner, Process};
use crate::adapter::record::Recorder;
use crate::adapter::report::{self, Scene};
use crate::adapter::sandbox::{self, Sandbox};
use crate::adapter::text::Spoken;
use crate::adapter::{Candidate, Discovery, Source, attach, builtin};
use crate::error::Failure;
use crate::plugins::powers;
use crate::plugins::store::Record;
use crate::ui::Ui;
use crate::versions::{Chosen, Tables, Used};

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
    sandbox: Arc<OnceLock<Option<Sandbox>>>,
    recorder: Arc<OnceLock<Option<Arc<Recorder>>>>,
    tables: Arc<Tables>,
}

type Cell = Arc<OnceCell<Arc<Adapter>>>;

impl Supervisor {
    /// Starts nothing yet.
    pub fn new(discovery: Discovery, ui: Ui) -> Self {
        Self {
            discovery: Arc::new(discovery),
            ui,
            running: Arc::default(),
            sandbox: Arc::default(),
            recorder: Arc::default(),
            tables: Arc::default(),
        }
    }

    /// Gives adapters these tables of versions instead of their own.
    pub(crate) fn with_tables(mut self, tables: Tables) -> Self {
        self.tables = Arc::new(tables);
        self
    }

    /// The tables that adapters are given.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
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
        if candidate.source == Source::Attached {
            let adapter = Adapter::attach(&candidate, self.ear(name)?, None).await?;
            let chosen = self.tables.choose(&adapter.manifest, None)?;
            if chosen.as_ref().is_none_or(|chosen| chosen.table.is_none()) {
                return Ok(Arc::new(adapter.with(chosen)));
            }
            adapter.end().await;
            let adapter = Adapter::attach(&candidate, self.ear(name)?, chosen).await?;
            return Ok(Arc::new(adapter));
        }
        // What a built-in wants to see is known before it runs.
        let known = builtin::find(name)
            .filter(|_| candidate.source == Source::BuiltIn)
            .map(|adapter| (adapter.manifest)());
        let (grant, chosen) = match &known {
            Some(manifest) => (
                self.grant(&candidate, manifest),
                self.tables.choose(manifest, None)?,
            ),
            None => (Grant::default(), None),
        };
        let manner = Manner {
            sandbox: self.sandbox(),
            leftovers: Leftovers::End,
        };
        let adapter = Adapter::start(&candidate, &grant, self.ear(name)?, &manner, chosen).await?;
        if known.is_some() {
            return Ok(Arc::new(adapter));
        }
        let signed = self.discovery.installation(&candidate);
        let adapter = adapter.introduced(signed).await?;
        // What another adapter declares is known only now. Until then it had no variables, no network and its own table of versions; it starts
        // anew with what it is granted and given.
        let wanted = self.grant(&candidate, &adapter.manifest);
        let from = signed.map(|record| record.source.as_str());
        let chosen = match self.tables.choose(&adapter.manifest, from) {
            Ok(chosen) => chosen,
            Err(failure) => {
                adapter.end().await;
                return Err(failure);
            }
        };
        if wanted == grant && chosen.as_ref().is_none_or(|chosen| chosen.table.is_none()) {
            return Ok(Arc::new(adapter.with(chosen)));
        }
        adapter.end().await;
        let adapter = Adapter::start(&candidate, &wanted, self.ear(name)?, &manner, chosen).await?;
        // A table of versions gives no power either.
        Ok(Arc::new(adapter.introduced(signed).await?))
    }

    /// Makes what hears an adapter, and writes down what is said where the operator wants that.
    fn ear(&self, name: &str) -> Result<Ear, Failure> {
        if self.recorder.get().is_none() {
            let recorder = self
                .discovery
                .record()
                .map(|path| Recorder::open(path, self.ui.mask().clone()))
                .transpose()?;
            let _ = self.recorder.set(recorder.map(Arc::new));
        }
        let recorder = self.recorder.get().cloned().flatten();
        Ok(Ear::new(name.to_owned(), self.ui.clone(), recorder))
    }

    fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox
            .get_or_init(|| self.discovery.sandbox())
            .as_ref()
    }

    fn grant(&self, candidate: &Candidate, manifest: &Manifest) -> Grant {
        let grant = Grant::of(manifest, self.discovery.granted(candidate));
        match self.sandbox().is_some_and(Sandbox::has_network) {
            true => grant,
            false => grant.without_ports(),
        }
    }
}

/// A running adapter.
pub struct Adapter {
    /// What was started.
    pub candidate: Candidate,
    /// What it said about itself.
    pub manifest: Manifest,
    /// The protocol that both speak.
    pub protocol: ProtocolVersion,
    /// The table of versions that it works with; nothing: it has none.
    pub(crate) versions: Option<Used>,
    link: Link,
}

impl Adapter {
    /// Ends an adapter that says something else about itself than what was installed by its publisher's word.
    async fn introduced(self, record: Option<&Record>) -> Result<Self, Failure> {
        let Some(record) = record else {
            return Ok(self);
        };
        let beyond = powers::beyond(&record.release, &self.manifest);
        let failure = if self.manifest.version != record.version.to_string() {
            report::other_version(&self.candidate, &self.manifest.version, &record.version)
        } else if !beyond.is_empty() {
            report::beyond(&self.candidate, &beyond)
        } else {
            return Ok(self);
        };
        self.end().await;
        Err(failure)
    }

    fn with(self, chosen: Option<Chosen>) -> Self {
        Self {
            versions: chosen.map(|chosen| chosen.used),
            ..self
        }
    }

    /// Sends a request and waits for the answer, within the call's time limits. The `call` of the parameters is filled in.
    pub async fn call<M: Method<Result: Spoken>>(
        &self,
        params: M::Params,
    ) -> Result<M::Result, Failure> {
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

    /// Sends a recorded request again and returns the answer as it is.
    pub(crate) async fn replay(
        &self,
        method: &str,
        params: &serde_json::Value,
    ) -> Result<serde_json::Value, Failure> {
        let (limits, called) = (self.link.limits(method), Instant::now());
        match self.link.connection.replay(method, params, limits).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self
                .link
                .failure("replay", called, error, Some(&self.manifest))
                .await),
        }
    }

    /// Returns the SHA-256 of the executable; nothing for a built-in and for what is never locked.
    pub fn digest(&self) -> Result<Option<String>, Failure> {
        if matches!(
            self.candidate.source,
            Source::BuiltIn | Source::Attached | Source::Dev
        ) {
            return Ok(None);
        }
        if let Some(sha256) = &self.candidate.sha256 {
            return Ok(Some(sha256.clone()));
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
        grant: &Grant,
        ear: Ear,
        manner: &Manner<'_>,
        chosen: Option<Chosen>,
    ) -> Result<Self, Failure> {
        let link = Link::open(candidate, grant, ear, manner)?;
        Self::shake_hands(candidate, link, chosen).await
    }

    /// Connects to a program that runs already and shakes hands with it.
    async fn attach(
        candidate: &Candidate,
        ear: Ear,
        chosen: Option<Chosen>,
    ) -> Result<Self, Failure> {
        Self::shake_hands(candidate, Link::attach(candidate, ear).await?, chosen).await
    }

    async fn shake_hands(
        candidate: &Candidate,
        link: Link,
        chosen: Option<Chosen>,
    ) -> Result<Self, Failure> {
        let params = InitializeParams {
            protocols: vec![PROTOCOL],
            host: Peer {
                name: "ztc".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            scratch_dir: link.process.scratch().display().to_string(),
            versions: chosen.as_ref().and_then(|chosen| chosen.table.clone()),
            ..InitializeParams::default()
        };
        let result = match (shake_hands(&link, params).await, &chosen) {
            (Ok(result), Some(chosen)) => chosen.check(&result.manifest).map(|()| result),
            (Err(failure), Some(chosen)) => Err(chosen.explain(failure)),
            (result, None) => result,
        };
        match result {
            Ok(InitializeResult { protocol, manifest }) => Ok(Self {
                candidate: candidate.clone(),
                manifest,
                protocol,
                versions: chosen.map(|chosen| chosen.used),
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
    let mut result = result;
    result.clean();
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
    /// The ports that the sandbox leaves open, where there is a sandbox.
    ports: Option<Vec<u16>>,
}

impl Link {
    fn open(
        candidate: &Candidate,
        grant: &Grant,
        ear: Ear,
        manner: &Manner<'_>,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let process::Started {
            process,
            stdin,
            stdout,
        } = process::start(candidate, grant, manner)?;
        let ear = Arc::new(ear);
        let connection = Connection::open(stdout, stdin, Arc::clone(&ear) as Arc<dyn Listener>);
        Ok(Self {
            candidate: candidate.clone(),
            process,
            connection,
            ear,
            started,
            reported: tokio::sync::Mutex::new(false),
            unresponsive: AtomicBool::new(false),
            ports: manner.sandbox.map(|_| grant.ports.clone()),
        })
    }

    /// Connects to an adapter that runs already.
    async fn attach(candidate: &Candidate, ear: Ear) -> Result<Self, Failure> {
        let stream = attach::connect(&candidate.name, &candidate.program).await?;
        let (output, input) = tokio::io::split(stream);
        let ear = Arc::new(ear);
        let connection = Connection::open(output, input, Arc::clone(&ear) as Arc<dyn Listener>);
        Ok(Self {
            candidate: candidate.clone(),
            process: Process::of_somebody_else()?,
            connection,
            ear,
            started: Instant::now(),
            reported: tokio::sync::Mutex::new(false),
            unresponsive: AtomicBool::new(false),
            ports: None,
        })
    }

    fn limits(&self, method: &str) -> Limits {
        match self.process.is_ours() {
            true => Limits::of(method),
            false => Limits::NONE,
        }
    }

    async fn call<M: Method<Result: Spoken>>(
        &self,
        params: M::Params,
        manifest: Option<&Manifest>,
    ) -> Result<M::Result, Failure> {
        let called = Instant::now();
        match self
            .connection
            .request::<M>(params, self.limits(M::NAME))
            .await
        {
            Ok(result) => Ok(result),
            Err(error) => Err(self.failure(M::NAME, called, error, manifest).await),
        }
    }

    /// Says why a call failed.
    async fn failure(
        &self,
        method: &'static str,
        called: Instant,
        error: CallError,
        manifest: Option<&Manifest>,
    ) -> Failure {
        if let CallError::Gone = error {
            return self.gone(method, called, manifest).await;
        }
        if let CallError::Idle(_, LastWord::Nothing) | CallError::Total(_, LastWord::Nothing) =
            error
        {
            self.unresponsive.store(true, Ordering::Relaxed);
        }
        self.explained(self.scene(method, called, manifest).failure(error))
    }

    /// Adds what the sandbox may have to do with it.
    fn explained(&self, failure: Failure) -> Failure {
        match &self.ports {
            Some(ports) => sandbox::explain(failure, ports),
            None => failure,
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
        let status = ended.map(|ended| ended.status);
        if let Some(error) = keeper::start_error(status, &self.process.stderr()) {
            return report::cannot_start(&self.candidate, &error);
        }
        let scene = Scene {
            lasted: ended.map_or(scene.lasted, |ended| ended.after),
            status,
            stderr: self.ear.masked(&self.process.stderr()),
            ..scene
        };
        self.explained(scene.failure(CallError::Gone))
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
        if !self.process.is_ours() {
            self.process.clean();
            return;
        }
        if self.process.end_within(patience).await.is_none() {
            tracing::warn!(adapter = self.candidate.name, "does not end with its stdin");
            self.process.terminate();
            if self.process.end_within(TERMINATED).await.is_none() {
                self.ear.stubborn();
                self.process.kill();
                if self.process.end_within(KILLED).await.is_none() {
                    self.process.destroy();
                }
            }
        }
        self.process.clean();
    }
}
