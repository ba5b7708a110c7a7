//! What a journal says of the stages of its run: enough to draw them and to know what waits for what, whatever becomes of the pipeline file.
//!
//! Pure; owns no state.

use serde::{Deserialize, Serialize};

use crate::pipeline::file::{Pipeline, StageEntry};

/// A stage as it was when the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageHead {
    /// Its name.
    pub stage: String,
    /// The section it comes from.
    pub adapter: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its items are called; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The stages before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The barrier that must be reached before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    /// The barriers that it reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<String>,
}

/// The stages of a pipeline, in its order.
pub fn heads(pipeline: &Pipeline) -> Vec<StageHead> {
    pipeline.stages.iter().map(head).collect()
}

fn head(entry: &StageEntry) -> StageHead {
    StageHead {
        stage: entry.name.clone(),
        adapter: entry.adapter.clone(),
        description: entry.description.clone(),
        item: entry.for_each.as_ref().map(|each| each.item.clone()),
        needs: entry.needs.clone(),
        barrier: entry.barrier.clone(),
        reaches: entry.reaches.clone(),
    }
}
