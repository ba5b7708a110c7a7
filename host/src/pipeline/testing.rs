//! Small pipelines for the tests of this module.

use ztc_protocol::stage::{ForEach, Item};

use crate::pipeline::file::{Pipeline, StageEntry};

pub(crate) fn pipeline(stages: Vec<StageEntry>) -> Pipeline {
    Pipeline {
        mode: "test".into(),
        total_steps: stages.len(),
        stages,
        ..Pipeline::default()
    }
}

/// A required stage of the section `demo` with a cache key and a script of its own name.
pub(crate) fn stage(name: &str, needs: &[&str]) -> StageEntry {
    StageEntry {
        name: name.into(),
        adapter: "demo".into(),
        script: format!("demo://{name}.sh"),
        cache_key: Some(name.into()),
        required: true,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        timeout: 60,
        ..StageEntry::default()
    }
}

/// Items whose key is `key-<name>`.
pub(crate) fn items(names: &[&str]) -> Option<ForEach> {
    let items = names.iter().map(|name| Item {
        key: format!("key-{name}"),
        name: (*name).to_owned(),
        ..Item::default()
    });
    Some(ForEach {
        item: "node".into(),
        items: items.collect(),
    })
}
