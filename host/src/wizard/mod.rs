//! The wizard behind `ztc init`: which question comes next, whether an answer will do, and the document that the answers make.
//!
//! ```text
//! manifests ─► groups ─┐
//! answers   ─► Draft ──┴► Session ─► Question ─► Prompter (terminal or twin) ─► Draft ─► document
//! ```
//!
//! The core knows neither terminal nor processes: it asks a [`Prompter`], calls [`Adapters`] and keeps answers in a [`World`]. The terminal and the
//! non-interactive twin are two prompters over the same session, so both write the identical file. No secret's value is ever in a [`Draft`].

mod ask;
pub mod document;
mod draft;
pub mod files;
mod groups;
pub(crate) mod origin;
pub(crate) mod pattern;
mod prompter;
pub mod running;
mod secret;
mod selection;
mod session;
pub(crate) mod summary;
pub mod terminal;
pub mod twin;
mod value;

pub use draft::Draft;
pub use groups::{Group, groups};
pub use prompter::{Adapters, Choice, Kind, Prompter, Question, Reply, Stop, Trouble, World};
pub use session::Session;

#[cfg(test)]
mod tests;
