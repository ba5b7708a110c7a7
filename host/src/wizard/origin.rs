//! Where an installed adapter of somebody else comes from, for platform.yaml: colleagues have the file and not the adapter. Pure.

use serde_json::{Map, Value};

use crate::plugins::store::Record;
use crate::wizard::Draft;

/// Adds source and range of the installed adapters that have sections, unless the document says already where they are. Returns their names.
pub(crate) fn add(draft: &mut Draft, installed: &[Record]) -> Vec<String> {
    let used = |name: &str| draft.sections.iter().any(|section| section.adapter == name);
    let records: Vec<&Record> = installed
        .iter()
        .filter(|record| used(&record.name))
        .collect();
    let mut added = Vec::new();
    for record in records {
        let old = draft.plugins.get(&record.name).and_then(Value::as_object);
        let says = |key: &str| old.is_some_and(|plugin| plugin.contains_key(key));
        // Of several versions the newest comes first.
        if added.contains(&record.name) || says("path") || says("source") || says("version") {
            continue;
        }
        let mut plugin = Map::from_iter([
            ("source".to_owned(), Value::from(record.source.as_str())),
            ("version".to_owned(), Value::from(range(record))),
        ]);
        plugin.extend(old.cloned().unwrap_or_default());
        draft.plugins[&record.name] = plugin.into();
        added.push(record.name.clone());
    }
    added
}

/// What may take the place of a version: everything that promises to do the same.
fn range(record: &Record) -> String {
    let version = &record.version;
    match (version.major, version.minor) {
        _ if !version.pre.is_empty() => format!("={version}"),
        (0, 0) => format!("^{version}"),
        (major, minor) => format!("^{major}.{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::Section;
    use crate::plugins::index::Release;

    fn record(name: &str, version: &str) -> Record {
        Record {
            format: 1,
            name: name.into(),
            version: version.parse().unwrap(),
            source: "https://example.org/tree".into(),
            publisher_key: None,
            index_serial: 1,
            installed: String::new(),
            platform: String::new(),
            file: false,
            release: Release::default(),
        }
    }

    #[track_caller]
    fn becomes(before: Value, version: &str, after: Value) {
        let mut draft = Draft {
            plugins: before,
            ..Draft::default()
        };
        draft.sections.push(Section {
            name: "bgp".into(),
            adapter: "bgp".into(),
            config: Map::new(),
        });
        add(
            &mut draft,
            &[
                record("bgp", version),
                record("bgp", "0.0.1"),
                record("other", "1.0.0"),
            ],
        );
        assert_eq!(draft.plugins, after);
    }

    #[test]
    fn what_is_used_says_where_it_comes_from() {
        let from = |version: &str| json!({ "bgp": { "source": "https://example.org/tree", "version": version } });
        becomes(Value::Null, "1.2.3", from("^1.2"));
        becomes(Value::Null, "0.0.3", from("^0.0.3"));
        becomes(Value::Null, "1.0.0-rc.1", from("=1.0.0-rc.1"));
        let granted = json!({ "bgp": { "environment": ["BGP_REGION"] } });
        let mut all = from("^1.2");
        all["bgp"]["environment"] = json!(["BGP_REGION"]);
        becomes(granted, "1.2.0", all);
        let own = json!({ "bgp": { "path": "tools/bgp" } });
        becomes(own.clone(), "1.2.0", own);
    }
}
