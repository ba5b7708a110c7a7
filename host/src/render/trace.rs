//! What went to adapters and came back, kept in memory so that `ztc render --debug` can write it down when a render fails.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::mask::Mask;

/// The record; an empty one where nobody wants it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    wanted: bool,
    files: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl Trace {
    /// Keeps what is recorded, or not.
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Records a message of a section.
    pub(crate) fn record(&self, section: &str, name: &str, message: &impl Serialize) {
        if self.wanted
            && let Ok(text) = serde_json::to_vec_pretty(message)
        {
            self.files
                .borrow_mut()
                .insert(format!("{section}/{name}"), text);
        }
    }

    /// Records files as they were about to be written.
    pub(crate) fn files(&self, tree: &crate::render::output::Tree) {
        if self.wanted {
            let files = tree
                .iter()
                .map(|(path, output)| (format!("files/{path}"), output.content.clone()));
            self.files.borrow_mut().extend(files);
        }
    }

    /// Returns everything, without secrets; nothing where it was not wanted.
    pub(crate) fn take(&self, mask: &Mask) -> BTreeMap<String, Vec<u8>> {
        let files = std::mem::take(&mut *self.files.borrow_mut());
        files
            .into_iter()
            .map(|(path, content)| (path, mask.apply_bytes(&content)))
            .collect()
    }
}
