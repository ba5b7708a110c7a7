//! What one attempt at a task says: into its log, to those who look on, and the last lines into its failure. Masked, in constant memory.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::pipeline::event::TaskFailure;
use crate::pipeline::files;
use crate::pipeline::output::{Masker, Tail};

/// Lines of output on their way to whoever reads them: the task and the line. What nobody reads in time is lost there, never in the log.
pub type Lines = mpsc::Sender<(String, String)>;

/// Where an attempt writes.
pub struct Paper {
    /// The task.
    pub task: String,
    /// The attempt, from 1.
    pub number: u32,
    /// The log.
    pub log: PathBuf,
    /// Takes secrets out.
    pub masker: Masker,
}

/// The words of one attempt.
pub struct Transcript {
    task: String,
    log: Log,
    masker: Masker,
    tail: Tail,
    lines: Lines,
}

impl Transcript {
    /// Opens the log.
    pub fn new(paper: Paper, lines: Lines) -> Self {
        Self {
            log: Log::new(files::append(&paper.log), paper.number),
            task: paper.task,
            masker: paper.masker,
            tail: Tail::default(),
            lines,
        }
    }

    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut masked = Vec::with_capacity(bytes.len());
        self.masker.feed(bytes, &mut masked);
        self.write(&masked);
    }

    /// Takes a whole line.
    pub fn line(&mut self, line: &str) {
        self.feed(line.as_bytes());
        self.feed(b"\n");
    }

    /// Ends: what was held back is written.
    pub fn finish(&mut self) {
        let mut masked = Vec::new();
        self.masker.finish(&mut masked);
        self.write(&masked);
        let (task, lines) = (&self.task, &self.lines);
        self.tail
            .finish(|line| drop(lines.try_send((task.clone(), line.to_owned()))));
    }

    fn write(&mut self, masked: &[u8]) {
        self.log.write(masked);
        let (task, lines) = (&self.task, &self.lines);
        self.tail.feed(masked, |line| {
            drop(lines.try_send((task.clone(), line.to_owned())));
        });
    }

    /// Makes a failure of what was said last.
    pub fn failure(self, status: String, code: Option<i32>) -> TaskFailure {
        let mut last_lines = self.tail.lines();
        last_lines.extend(
            self.log
                .error
                .map(|error| format!("ztc: the log is not complete: {error}")),
        );
        TaskFailure {
            status,
            code,
            cause: self.tail.cause().map(str::to_owned),
            last_lines,
        }
    }
}

/// The log of a task. A log that cannot be written does not stop the script: half a disk image is worse than half a log.
struct Log {
    file: Option<File>,
    error: Option<std::io::Error>,
}

impl Log {
    fn new(file: std::io::Result<File>, attempt: u32) -> Self {
        let (file, error) = match file {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let mut log = Self { file, error };
        if attempt > 1 {
            log.write(format!("--- attempt {attempt} ---\n").as_bytes());
        }
        log
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(Err(error)) = self
            .file
            .as_mut()
            .filter(|_| !bytes.is_empty())
            .map(|file| file.write_all(bytes))
        {
            self.file = None;
            self.error = Some(error);
        }
    }
}
