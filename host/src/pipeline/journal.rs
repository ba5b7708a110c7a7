//! The journal of a run, `.zerotouch-cache/runs/<run>/journal.ndjson`: append-only, one record a line, on the disk before anybody sees it.
//!
//! A journal that was cut off ends with a torn line or none: the torn line never happened.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::atomic;
use crate::error::Failure;
use crate::paths::Repository;
use crate::pipeline::event::{Event, Record, VERSION};
use crate::pipeline::files;
use crate::pipeline::state::RunState;
use crate::pipeline::unreadable::{self, Wrong};

/// The directory of a run.
pub fn directory(repository: &Repository, run: &str) -> PathBuf {
    repository.runs().join(run)
}

/// The journal of a run.
pub fn path(repository: &Repository, run: &str) -> PathBuf {
    directory(repository, run).join("journal.ndjson")
}

/// All runs, the oldest first.
pub fn runs(repository: &Repository) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(repository.runs()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::io(
                "read",
                repository.display(&repository.runs()),
                &error,
            ));
        }
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut runs: Vec<String> = names
        .filter(|name| ulid::Ulid::from_string(name).is_ok())
        .collect();
    runs.sort();
    Ok(runs)
}

/// Returns the name of a new run: later than all others even where the clock went back.
pub fn new_run(last: &str) -> String {
    let now = ulid::Ulid::generate();
    match ulid::Ulid::from_string(last)
        .ok()
        .filter(|last| *last >= now)
        .and_then(|last| last.increment().ok())
    {
        Some(next) => next.to_string(),
        None => now.to_string(),
    }
}

/// Reads a journal up to the first line that is not whole.
pub fn read(repository: &Repository, run: &str) -> Result<Vec<Record>, Failure> {
    let path = path(repository, run);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // A run that was killed before its first record.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("read", repository.display(&path), &error)),
    };
    parse(&text).map_err(|wrong| unreadable::failure(repository, run, &text, &wrong))
}

/// Reads the lines of a journal; what follows the last newline is torn.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Record>, Wrong> {
    let end = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let mut state = RunState::default();
    let mut records = Vec::new();
    for (number, line) in text[..end]
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let record = serde_json::from_slice::<Record>(line)
            .map_err(|error| error.to_string())
            .and_then(|record| state.apply(&record).map(|()| record));
        match record {
            Ok(record) => records.push(record),
            Err(why) => return Err(Wrong::new(number + 1, line, why, records)),
        }
    }
    Ok(records)
}

/// A journal that is being written.
pub struct Journal {
    file: File,
    path: PathBuf,
    run: String,
    next: u64,
    state: RunState,
}

impl Journal {
    /// Begins the journal of a new run.
    pub fn create(repository: &Repository, run: &str) -> Result<Self, Failure> {
        let path = path(repository, run);
        atomic::private_directory(&directory(repository, run))?;
        let create = || {
            let directory = directory(repository, run);
            let file = files::append(&path)?;
            File::open(&directory)?.sync_all()?;
            File::open(repository.runs())?.sync_all()?;
            Ok(file)
        };
        let file =
            create().map_err(|error| Failure::io("write", repository.display(&path), &error))?;
        Ok(Self {
            file,
            path,
            run: run.to_owned(),
            next: 0,
            state: RunState::default(),
        })
    }

    /// Writes records and waits until they are on the disk.
    pub fn append(&mut self, events: Vec<Event>) -> Result<Vec<Record>, Failure> {
        let at = now();
        let mut lines = Vec::new();
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let record = Record {
                v: VERSION,
                run: self.run.clone(),
                seq: self.next,
                at: at.clone(),
                event,
            };
            self.state
                .apply(&record)
                .map_err(|why| Failure::failed(format!("a mistake in ztc: {why}")))?;
            serde_json::to_writer(&mut lines, &record)
                .map_err(|error| Failure::failed("failed to write a record").detail(error))?;
            lines.push(b'\n');
            self.next += 1;
            records.push(record);
        }
        let written = self
            .file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data());
        written.map_err(|error| Failure::io("write", &self.path, &error))?;
        Ok(records)
    }

    /// The state that the records make.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The run.
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// When a run began, as its name says, RFC 3339, UTC.
pub fn began(run: &str) -> String {
    let millisecond = ulid::Ulid::from_string(run)
        .ok()
        .and_then(|run| i64::try_from(run.timestamp_ms()).ok());
    let at = millisecond.and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| at.to_string())
}

/// Now, RFC 3339, UTC, to the millisecond.
pub fn now() -> String {
    let now = Timestamp::now();
    now.round(jiff::Unit::Millisecond)
        .unwrap_or(now)
        .to_string()
}
