//! What a render makes: files with their content, in memory, by path relative to the repository.

use std::collections::BTreeMap;

use crate::digest::sha256_hex;
use crate::lock::{LockedFile, mode};

/// The directory that holds nothing but artifacts.
pub const GENERATED: &str = "platform/generated";
/// Where the scripts of all stages are, a directory for each section.
pub const SCRIPTS: &str = "platform/generated/debug/scripts";
/// The lock.
pub const LOCK: &str = "platform/lock.json";

/// A file to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether it can be executed.
    pub executable: bool,
}

impl Output {
    /// A text that is not executable.
    pub fn text(content: impl Into<String>) -> Self {
        Self {
            content: content.into().into_bytes(),
            executable: false,
        }
    }

    /// What the lock says about it.
    pub fn locked(&self) -> LockedFile {
        LockedFile {
            sha256: sha256_hex(&self.content),
            mode: mode(self.executable).to_owned(),
        }
    }
}

/// Files by path relative to the repository.
pub type Tree = BTreeMap<String, Output>;
