//! What the wizard's core needs from outside: somebody who answers, the adapters, and a place for what was answered.

use ztc_protocol::message::{
    Diagnostic, GetInputsParams, GetInputsResult, Severity, ValidateParams,
};

use crate::error::Failure;
use crate::wizard::Draft;

/// Why the wizard does not go on.
#[derive(Debug)]
pub enum Stop {
    /// The operator pressed Ctrl-C, or a signal asked to end.
    Interrupted,
    /// This question has no answer; the twin said so already and the others can still be looked at.
    Unanswered,
    /// Something failed.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The answer that it belongs to, as `--set` names it: `talos.nodes`.
    pub answer: String,
    /// What that answer is about, where the question is only a part of it.
    pub about: Option<String>,
    /// The question.
    pub prompt: String,
    /// Shown with it.
    pub help: Option<String>,
    /// How it is answered.
    pub kind: Kind,
}

/// How a question is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One of several.
    Choice {
        /// What can be chosen.
        options: Vec<Choice>,
        /// The proposed one.
        default: Option<usize>,
    },
    /// Any number of several.
    Several {
        /// What can be chosen.
        options: Vec<Choice>,
        /// The proposed ones.
        chosen: Vec<usize>,
        /// Whether none is refused.
        required: bool,
    },
    /// Yes or no.
    Confirm {
        /// The proposed answer.
        default: Option<bool>,
    },
    /// A line of text.
    Text {
        /// What an empty line means.
        default: Option<String>,
        /// What stands on the line already, to be edited.
        initial: String,
        /// Whether an empty line is refused where there is no default.
        required: bool,
    },
    /// A line that is not shown.
    Hidden,
}

/// One thing that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What is chosen.
    pub value: String,
    /// A few words about it; may be empty.
    pub note: String,
}

/// An answer, of the question's kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Which of the choices.
    Chosen(usize),
    /// Which of the choices, in their order.
    Several(Vec<usize>),
    /// Yes or no.
    Confirmed(bool),
    /// A line, also one that was not shown.
    Line(String),
}

/// Something that is wrong with an answer that was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The section.
    pub section: String,
    /// Where in it, as a JSON Pointer.
    pub pointer: String,
    /// Whether the key is meant and not its value.
    pub of_key: bool,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Who answers.
pub trait Prompter {
    /// Asks. The reply is of the question's kind.
    fn ask(&mut self, question: &Question) -> Result<Reply, Stop>;
    /// Says that a reply will not do; the question is then asked again.
    fn refuse(&mut self, question: &Question, why: &str) -> Result<(), Stop>;
    /// Says what is wrong with an answer that stands.
    fn trouble(&mut self, trouble: &Trouble);
    /// Whether answers that stand can be corrected by asking again.
    fn corrects(&self) -> bool;
    /// Begins a part of the conversation.
    fn heading(&mut self, title: &str, about: &str);
    /// Says something.
    fn note(&mut self, text: &str);
}

/// The adapters that are asked for questions and judgement.
pub trait Adapters {
    /// Returns an adapter's questions. The values of the secrets that it may have for them are added where that is right.
    fn inputs(
        &self,
        adapter: &str,
        params: GetInputsParams,
    ) -> impl Future<Output = Result<GetInputsResult, Stop>>;
    /// Returns what an adapter says against a section.
    fn validate(
        &self,
        adapter: &str,
        params: ValidateParams,
    ) -> impl Future<Output = Result<Vec<Diagnostic>, Stop>>;
}

/// Where answers are kept and what the machine knows about secrets.
pub trait World {
    /// Keeps what was answered so far.
    fn keep(&mut self, draft: &Draft) -> Result<(), Failure>;
    /// Stores a secret's value under a name, and nowhere else.
    fn store(&mut self, name: &str, value: &str) -> Result<(), Failure>;
    /// Whether a variable of the environment has a value.
    fn has_variable(&self, name: &str) -> bool;
    /// Whether a file exists, relative to the repository.
    fn has_file(&self, path: &str) -> bool;
}
