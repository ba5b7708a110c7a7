//! One process of the adapter under test, spoken with in raw lines: everything that it writes is seen and judged, nothing is forgiven.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;
use ztc_protocol::frame::{self, Frame};
use ztc_protocol::lines::LineBuffer;
use ztc_protocol::message::PROGRESS;
use ztc_protocol::{MAX_LINE_BYTES, PROTOCOL};

use crate::adapter::Candidate;
use crate::adapter::grant::Grant;
use crate::adapter::keeper::{self, Leftovers};
use crate::adapter::limits::Limits;
use crate::adapter::process::{self, Ended, Manner, Process, Started};
use crate::adapter::record::Direction;
use crate::conformance::ledger::Ledger;
use crate::conformance::wire;
use crate::error::Failure;
use crate::foreign::printable;

/// How long an adapter may take to end after its stdin did.
pub(super) const END: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Result(Value),
    Error {
        code: i64,
        message: String,
        data: Value,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Broken {
    /// None came in time.
    Late(Duration),
    /// The adapter ended, or closed its stdout: how, for people.
    Ended(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Self::Ended(how) => f.write_str(how),
        }
    }
}

pub(super) type Answer = Result<Reply, Broken>;

/// A running adapter.
pub(super) struct Session {
    process: Process,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    chunk: Vec<u8>,
    lines: LineBuffer,
    /// Everything that came over stdout.
    heard: Vec<u8>,
    ledger: Ledger,
    next: u64,
    /// The requests whose ids are texts.
    texts: BTreeSet<u64>,
    /// What is being asked, for the ledger.
    place: String,
    /// The calls that wait for an answer.
    open: BTreeSet<u64>,
    /// Answers to calls that were made together, before their turn.
    early: BTreeMap<u64, Reply>,
}

impl Session {
    /// Starts the adapter and says nothing.
    pub(super) fn start(
        candidate: &Candidate,
        variables: &[(String, String)],
        ledger: &Ledger,
    ) -> Result<Self, Failure> {
        let grant = Grant {
            variables: variables.to_vec(),
            ..Grant::default()
        };
        let manner = Manner {
            sandbox: None,
            leftovers: Leftovers::Tell,
        };
        let Started {
            process,
            stdin,
            stdout,
        } = process::start(candidate, &grant, &manner)?;
        Ok(Self {
            process,
            stdin: Some(stdin),
            stdout,
            chunk: vec![0; 64 * 1024],
            lines: LineBuffer::new(MAX_LINE_BYTES),
            heard: Vec::new(),
            ledger: ledger.clone(),
            // What many languages take for nothing.
            next: 0,
            texts: BTreeSet::new(),
            place: "start".to_owned(),
            open: BTreeSet::new(),
            early: BTreeMap::new(),
        })
    }

    /// Shakes hands as ztc does.
    pub(super) async fn initialize(&mut self) -> Answer {
        let params = self.hello(&PROTOCOL.to_string());
        self.call("initialize", params).await
    }

    /// The parameters of `initialize` for a host that speaks one version.
    pub(super) fn hello(&self, protocol: &str) -> Value {
        json!({
            "protocols": [protocol],
            "host": { "name": "ztc", "version": env!("CARGO_PKG_VERSION") },
            "scratch_dir": self.process.scratch(),
        })
    }

    /// Makes a call within the limits of its method. `call` is added to the parameters where they have none.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Answer {
        let (id, line) = self.request(method, params);
        self.converse(method, id, &[line]).await
    }

    /// Makes several calls in the same breath, and returns their answers in the order of the calls, in whatever order they come.
    pub(super) async fn call_together(&mut self, calls: Vec<(&str, Value)>) -> Vec<Answer> {
        let asked: Vec<(String, u64, String)> = calls
            .into_iter()
            .map(|(method, params)| {
                let (id, line) = self.request(method, params);
                (method.to_owned(), id, line)
            })
            .collect();
        let lines: Vec<&[u8]> = asked.iter().map(|(_, _, line)| line.as_bytes()).collect();
        let written = self.send_lines(&lines).await;
        let mut answers = Vec::new();
        for (method, id, _) in asked {
            let answer = match &written {
                Ok(()) => self.converse(&method, id, &[]).await,
                Err(broken) => Err(broken.clone()),
            };
            answers.push(answer);
        }
        answers
    }

    /// Makes a call whose id is a text.
    pub(super) async fn call_by_text(&mut self, method: &str, params: Value) -> Answer {
        self.texts.insert(self.next);
        self.call(method, params).await
    }

    /// Makes a call and cancels it in the same breath.
    pub(super) async fn call_and_cancel(&mut self, method: &str, params: Value) -> Answer {
        let (id, line) = self.request(method, params);
        let cancel = json!({
            "jsonrpc": "2.0", "method": "$/cancel", "params": { "call_id": format!("call-{id}"), "reason": "the kit asks for it" },
        });
        self.converse(method, id, &[line, cancel.to_string()]).await
    }

    /// Sends a line that asks nothing.
    pub(super) async fn send(&mut self, line: &str) -> Result<(), Broken> {
        self.send_bytes(line.as_bytes()).await
    }

    /// Sends a line that need not be text.
    pub(super) async fn send_bytes(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.send_lines(&[line]).await
    }

    /// Sends lines with one write.
    async fn send_lines(&mut self, lines: &[&[u8]]) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        for line in lines {
            self.ledger.said(Direction::To, line);
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(&bytes).await,
            None => return Err(Broken::Ended("its stdin is closed".to_owned())),
        };
        match written {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended("does not read its stdin").await),
        }
    }

    /// The last lines of stderr.
    pub(super) fn stderr(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Everything that came over stdout.
    pub(super) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Where it puts large content.
    pub(super) fn scratch(&self) -> &std::path::Path {
        self.process.scratch()
    }

    /// Closes stdin and waits for the end. Returns how it ended and after how long, or nothing where it had to be killed.
    pub(super) async fn end(&mut self) -> Option<(Ended, Duration)> {
        self.place = "the end of stdin".to_owned();
        let begun = Instant::now();
        drop(self.stdin.take());
        // A moment more than it has, so that the report can say how late it was.
        let rest = timeout(END * 2, self.drain()).await;
        let ended = match rest {
            Ok(()) => self.process.end_within(END).await,
            Err(_) => self.process.ended(),
        };
        let took = begun.elapsed();
        self.process.kill();
        self.ledger
            .left(&self.place, keeper::left_behind(&self.process.stderr()));
        ended.map(|ended| (ended, took))
    }

    fn request(&mut self, method: &str, mut params: Value) -> (u64, String) {
        let id = self.next;
        self.next += 1;
        self.open.insert(id);
        let total = Limits::of(method).total.as_millis();
        let call = json!({ "id": format!("call-{id}"), "deadline_ms": u64::try_from(total).ok() });
        if let Some(params) = params.as_object_mut() {
            let given = params.entry("call").or_insert_with(|| json!({}));
            for (key, value) in call.as_object().into_iter().flatten() {
                given[key] = value.clone();
            }
        }
        let request =
            json!({ "jsonrpc": "2.0", "id": self.wire(id), "method": method, "params": params });
        (id, request.to_string())
    }

    /// The id of a request as it stands in its line.
    fn wire(&self, id: u64) -> Value {
        match self.texts.contains(&id) {
            true => format!("kit {id}").into(),
            false => id.into(),
        }
    }

    async fn converse(&mut self, method: &str, id: u64, lines: &[String]) -> Answer {
        method.clone_into(&mut self.place);
        let limits = Limits::of(method);
        let begun = Instant::now();
        let answer = match timeout(limits.total, self.exchange(id, lines, limits.idle)).await {
            Ok(answer) => answer,
            Err(_) => Err(Broken::Late(limits.total)),
        };
        match &answer {
            Ok(Reply::Result(result)) => {
                self.ledger
                    .message(method, self.ledger.schemas.result(method, result));
            }
            Ok(Reply::Error { .. }) => {}
            Err(late @ Broken::Late(_)) => self.ledger.late(method, late.to_string()),
            Err(Broken::Ended(_)) => {}
        }
        self.ledger.took(method, begun.elapsed());
        answer
    }

    async fn exchange(&mut self, id: u64, lines: &[String], idle: Duration) -> Answer {
        for line in lines {
            self.send(line).await?;
        }
        loop {
            if let Some(reply) = self.early.remove(&id) {
                return Ok(reply);
            }
            while let Some(line) = self.lines.next_line() {
                self.judge(&line.bytes, line.whole);
                if let Some(reply) = self.early.remove(&id) {
                    return Ok(reply);
                }
            }
            match timeout(idle, self.stdout.read(&mut self.chunk)).await {
                Err(_) => return Err(Broken::Late(idle)),
                Ok(Ok(count @ 1..)) => self.take(count),
                Ok(_) => return Err(self.ended("closed its stdout without an answer").await),
            }
        }
    }

    fn take(&mut self, count: usize) {
        self.heard.extend_from_slice(&self.chunk[..count]);
        self.lines.push(&self.chunk[..count]);
    }

    /// Reads what is said until stdout ends; nobody waits for an answer any more.
    async fn drain(&mut self) {
        loop {
            while let Some(line) = self.lines.next_line() {
                self.judge(&line.bytes, line.whole);
            }
            match self.stdout.read(&mut self.chunk).await {
                Ok(count @ 1..) => self.take(count),
                _ => break,
            }
        }
        if let Some(half) = self.lines.rest() {
            self.ledger
                .noise(&self.place, "cut off in the middle", &half.bytes);
        }
    }

    /// Judges a line; keeps the answer where one is waited for.
    fn judge(&mut self, line: &[u8], whole: bool) {
        let place = self.place.as_str();
        self.ledger.said(Direction::From, line);
        if !whole {
            self.ledger.noise(place, "longer than 32 MiB", line);
            return;
        }
        match frame::classify(line) {
            Frame::Blank => {}
            Frame::Stray(why) => self.ledger.noise(place, why, line),
            Frame::Request { method, .. } => {
                let wrong = "asked the host, but requests go from host to adapter only";
                self.ledger
                    .message(&format!("{place}, `{method}`"), [wrong.to_owned()]);
            }
            Frame::Notification { method, params } => {
                let mut wrong = self.ledger.schemas.notification(&method, &params);
                if method == PROGRESS {
                    wrong.extend(wire::progress(&params).map(str::to_owned));
                }
                self.ledger.message(&format!("{place}, `{method}`"), wrong);
            }
            Frame::Response { id } => {
                let mut open = self.open.iter().copied();
                if let Some(number) = open.find(|number| self.wire(*number) == id) {
                    let reply = self.reply(line);
                    self.open.remove(&number);
                    self.early.insert(number, reply);
                    return;
                }
                let mut wrong = format!("answered `{id}`, which nobody waits for");
                if let Some(waiting) = self.open.first() {
                    wrong = format!(
                        "{wrong}: the id of the request is `{}`",
                        self.wire(*waiting)
                    );
                }
                self.ledger.message(place, [wrong]);
            }
        }
    }

    fn reply(&self, line: &[u8]) -> Reply {
        let mut message: Value = serde_json::from_slice(frame::trim(line)).unwrap_or_default();
        let wrong = wire::envelope(&message).map(str::to_owned);
        if let Some(error) = message.get("error") {
            let wrong = self.ledger.schemas.error(error).into_iter().chain(wrong);
            self.ledger
                .message(&format!("{}, error", self.place), wrong);
            return Reply::Error {
                code: error["code"].as_i64().unwrap_or_default(),
                message: printable(error["message"].as_str().unwrap_or_default()),
                data: error["data"].clone(),
            };
        }
        if let Some(wrong) = wrong {
            self.ledger.message(&self.place, [wrong]);
        }
        Reply::Result(message["result"].take())
    }

    async fn ended(&self, otherwise: &str) -> Broken {
        let ended = self.process.end_within(Duration::from_secs(1)).await;
        let how = ended.map_or_else(
            || otherwise.to_owned(),
            |ended| format!("ended with {} and did not answer", ended.status),
        );
        let stderr = self.process.stderr();
        let left = keeper::left_behind(&stderr).len();
        let said = stderr.iter().rev().nth(left);
        Broken::Ended(said.map_or(how.clone(), |line| {
            format!("{how}; its last line on stderr: {line}")
        }))
    }
}
