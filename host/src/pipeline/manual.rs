//! Stages of the kind `manual`: a person does something and says so.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::pipeline::attempt::{Ended, Stop};
use crate::pipeline::transcript::{Lines, Paper, Transcript};

/// How long the end of the run may take to arrive after the terminal that it was started from has gone.
const HANG_UP: Duration = Duration::from_secs(2);

/// Who answers.
#[derive(Clone, Debug, Default)]
pub enum Desk {
    /// Nobody: such a stage fails.
    #[default]
    Nobody,
    /// Everything was confirmed beforehand.
    Yes,
    /// Somebody reads the questions one by one.
    Person(mpsc::UnboundedSender<Question>),
}

/// A question. Dropping it means that nobody answers any more.
#[derive(Debug)]
pub struct Question {
    /// The task.
    pub task: String,
    /// What is to be done, masked.
    pub instructions: String,
    /// Whether it is done. Closed when nobody waits for it any more.
    pub done: oneshot::Sender<bool>,
}

/// Everything that one attempt needs.
pub struct Request {
    /// Where it writes.
    pub paper: Paper,
    /// What is to be done.
    pub instructions: String,
    /// Who answers.
    pub desk: Desk,
    /// How long it may take.
    pub limit: Duration,
}

impl Request {
    /// Asks, and waits for the answer, the end of the time, or that of the run.
    pub async fn run(self, mut stop: watch::Receiver<Stop>, lines: Lines) -> Ended {
        if *stop.borrow() > Stop::No {
            return Ended::Stopped(None);
        }
        let task = self.paper.task.clone();
        let mut transcript = Transcript::new(self.paper, lines);
        self.instructions
            .lines()
            .for_each(|line| transcript.line(line));
        let (done, answer) = oneshot::channel();
        let asks_a_person = matches!(self.desk, Desk::Person(_));
        match self.desk {
            Desk::Yes => {
                transcript.line("confirmed by --yes");
                let _ = done.send(true);
            }
            Desk::Nobody => drop(done),
            Desk::Person(desk) => {
                let question = Question {
                    task,
                    instructions: self.instructions,
                    done,
                };
                // A desk that is gone drops the question.
                let _ = desk.send(question);
            }
        }
        let answer = tokio::select! {
            answer = timeout(self.limit, answer) => answer,
            _ = stop.changed() => return Ended::Stopped(None),
        };
        // A terminal that closes first ends what is read from it and then sends SIGHUP: that is the end of the run, not an answer.
        if asks_a_person
            && matches!(answer, Ok(Err(_)))
            && timeout(HANG_UP, stop.changed()).await.is_ok()
        {
            return Ended::Stopped(None);
        }
        transcript.finish();
        match answer {
            Ok(Ok(true)) => Ended::Well,
            Ok(_) => Ended::Badly(transcript.failure("not confirmed".to_owned(), None)),
            Err(_) => {
                let status = format!("no end after {} s", self.limit.as_secs());
                Ended::Badly(transcript.failure(status, None))
            }
        }
    }
}
