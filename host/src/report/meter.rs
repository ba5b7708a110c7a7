//! Writes the metrics of a run to a file while it goes on: in one step, at every change, at most once a second, and at the end.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::atomic;
use crate::error::Failure;
use crate::pipeline::event::Record;
use crate::pipeline::journal;
use crate::report::build::{Liveness, build};
use crate::report::metrics::metrics;

/// How far apart two writings are.
const APART: Duration = Duration::from_secs(1);

/// Takes the records of a run.
pub struct Meter {
    records: Option<mpsc::Sender<Record>>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
}

impl Meter {
    /// Makes sure that the file can be written, before anything runs.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let file = std::path::absolute(file).map_err(|error| Failure::io("write", file, &error))?;
        atomic::public(&file, "").map_err(|failure| {
            failure.help("give `--metrics-file` a file in a directory that you may write to")
        })?;
        let (records, heard) = mpsc::channel();
        Ok(Self {
            records: Some(records),
            writer: Some(std::thread::spawn(move || write(&file, &heard))),
        })
    }

    /// Takes a record.
    pub fn add(&self, record: &Record) {
        if let Some(records) = &self.records {
            let _ = records.send(record.clone());
        }
    }

    /// Writes the last state and returns what went wrong.
    pub fn close(mut self) -> Result<(), Failure> {
        self.records = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(Failure::failed("the metrics were not written")),
        }
    }
}

fn write(file: &Path, heard: &mpsc::Receiver<Record>) -> Result<(), Failure> {
    let (mut records, mut last, mut due) = (Vec::new(), None::<Instant>, false);
    loop {
        let next = match due {
            true => heard.recv_timeout(
                last.map_or(Duration::ZERO, |last| APART.saturating_sub(last.elapsed())),
            ),
            false => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(record) => {
                records.push(record);
                due = true;
            }
            Err(RecvTimeoutError::Timeout) => {
                // What cannot be written now may be at the end, where it is said.
                let _ = put(file, &records);
                (last, due) = (Some(Instant::now()), false);
            }
            Err(RecvTimeoutError::Disconnected) => return put(file, &records),
        }
    }
}

fn put(file: &Path, records: &[Record]) -> Result<(), Failure> {
    match build(records, &Liveness::Live(journal::now())) {
        Some(report) => atomic::public(file, &metrics(&report)),
        None => Ok(()),
    }
}
