//! `$patch: delete` in a patch: what it means and where it is allowed, as Talos has it. Merges nothing.

use serde_json::{Map, Value};

use crate::problem::Problem;

const MARK: &str = "$patch";

/// What a patch takes away.
#[derive(Debug, PartialEq)]
pub(crate) struct Deletion {
    /// The keys on the way.
    path: Vec<String>,
    /// The item of the list at the end of the way: the first key of the patch's item, and its value.
    item: Option<(String, Value)>,
}

/// The deletions of a document of a patch, and what is left of it; nothing, where it held nothing else.
pub(crate) type Split = (Vec<Deletion>, Option<Map<String, Value>>);

/// Takes the deletions out of a document of a patch.
pub(crate) fn split(patch: &Map<String, Value>) -> Result<Split, Problem> {
    let mut deletions = Vec::new();
    let rest = match map(patch, &mut Vec::new(), &mut deletions)? {
        Some(Value::Object(rest)) => Some(rest),
        _ => None,
    };
    let root = deletions.iter().any(Deletion::is_of_the_whole);
    if root && !crate::merge::is_further(patch) {
        return Err(Problem::new(
            "it deletes the whole machine configuration",
            "delete the keys that are not wanted one by one",
        ));
    }
    Ok((deletions, rest))
}

impl Deletion {
    /// Whether the whole document goes.
    pub(crate) fn is_of_the_whole(&self) -> bool {
        self.path.is_empty()
    }

    /// Takes it out of a document; what is not there cannot be deleted.
    pub(crate) fn apply(&self, base: &mut Map<String, Value>) -> Result<(), Problem> {
        let Some((last, way)) = self.path.split_last() else {
            return Ok(());
        };
        let mut place = base;
        for key in way {
            place = place
                .get_mut(key)
                .and_then(Value::as_object_mut)
                .ok_or_else(|| self.nothing())?;
        }
        match &self.item {
            None => place
                .shift_remove(last)
                .map(drop)
                .ok_or_else(|| self.nothing()),
            Some((key, value)) => {
                let items = place.get_mut(last).and_then(Value::as_array_mut);
                let items = items.ok_or_else(|| self.nothing())?;
                let found = items.iter().position(|item| item.get(key) == Some(value));
                items.remove(found.ok_or_else(|| self.nothing())?);
                Ok(())
            }
        }
    }

    fn nothing(&self) -> Problem {
        let item = match &self.item {
            Some((key, value)) => format!(" with `{key}: {}`", crate::yaml::inline(value)),
            None => String::new(),
        };
        Problem::new(
            format!(
                "it deletes `{}`{item}, which is not there",
                self.path.join(".")
            ),
            "take the deletion out, or check how the place is written: Talos refuses to delete what does not exist",
        )
    }
}

/// Returns what is left of a mapping; `None`: nothing, and its key goes with it.
fn map(
    patch: &Map<String, Value>,
    path: &mut Vec<String>,
    deletions: &mut Vec<Deletion>,
) -> Result<Option<Value>, Problem> {
    if let Some(what) = patch.get(MARK) {
        marked(what, path)?;
        deletions.push(Deletion {
            path: path.clone(),
            item: None,
        });
        return Ok(None);
    }
    let mut left = Map::new();
    for (key, value) in patch {
        path.push(key.clone());
        let value = match value {
            Value::Object(inner) => map(inner, path, deletions)?,
            Value::Array(items) => list(items, path, deletions)?,
            other => Some(other.clone()),
        };
        path.pop();
        if let Some(value) = value {
            left.insert(key.clone(), value);
        }
    }
    let emptied = left.is_empty() && !patch.is_empty();
    Ok((!emptied).then_some(Value::Object(left)))
}

fn list(
    items: &[Value],
    path: &[String],
    deletions: &mut Vec<Deletion>,
) -> Result<Option<Value>, Problem> {
    let mut left = Vec::new();
    for item in items {
        let Some(what) = item.get(MARK) else {
            if holds_a_mark(item) {
                return Err(Problem::new(
                    format!("it deletes a part of an item of `{}`", path.join(".")),
                    "Talos deletes whole items of a list only: delete the item, and give it anew in a later patch",
                ));
            }
            left.push(item.clone());
            continue;
        };
        marked(what, path)?;
        let selector = item
            .as_object()
            .and_then(|item| item.iter().find(|(key, _)| *key != MARK));
        let text = selector.filter(|(_, value)| value.is_string());
        let (key, value) = text.ok_or_else(|| {
            Problem::new(
                format!("it does not say which item of `{}` it deletes", path.join(".")),
                "put a key whose value is a text, such as `interface: eth0`, in front of `$patch: delete`",
            )
        })?;
        deletions.push(Deletion {
            path: path.to_vec(),
            item: Some((key.clone(), value.clone())),
        });
    }
    let emptied = left.is_empty() && !items.is_empty();
    Ok((!emptied).then_some(Value::Array(left)))
}

fn marked(what: &Value, path: &[String]) -> Result<(), Problem> {
    if what == "delete" {
        return Ok(());
    }
    Err(Problem::new(
        format!(
            "`{MARK}: {}` below `{}` is not known",
            crate::yaml::inline(what),
            path.join(".")
        ),
        "Talos knows `$patch: delete` only",
    ))
}

fn holds_a_mark(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key(MARK) || map.values().any(holds_a_mark),
        Value::Array(items) => items.iter().any(holds_a_mark),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What becomes of a base, or why not.
    #[track_caller]
    fn check(patch: Value, expected: Result<Value, &str>) {
        let mut base = json!({
            "machine": {"sysctls": {"a": "1", "b": "2"}, "files": [{"path": "/a", "content": "x"}, {"path": "/b"}]},
            "cluster": {"apiServer": {"admissionControl": [{"name": "PodSecurity"}]}},
        });
        let base = base.as_object_mut().unwrap();
        let done = split(patch.as_object().unwrap()).and_then(|(deletions, _)| {
            deletions
                .iter()
                .try_for_each(|deletion| deletion.apply(base))
        });
        let done = done.map(|()| Value::Object(base.clone()));
        assert_eq!(
            done.map_err(|problem| problem.message),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn keys_and_items_are_deleted() {
        check(
            json!({
                "machine": {"sysctls": {"a": {"$patch": "delete"}}, "files": [{"$patch": "delete", "path": "/a"}]},
                "cluster": {"apiServer": {"admissionControl": [{"name": "PodSecurity", "$patch": "delete"}]}},
            }),
            Ok(json!({
                "machine": {"sysctls": {"b": "2"}, "files": [{"path": "/b"}]},
                "cluster": {"apiServer": {"admissionControl": []}},
            })),
        );
    }

    #[test]
    fn what_is_not_there_cannot_be_deleted() {
        for (patch, message) in [
            (
                json!({"cluster": {"proxy": {"$patch": "delete"}}}),
                "it deletes `cluster.proxy`, which is not there",
            ),
            (
                json!({"machine": {"kubelet": {"image": {"$patch": "delete"}}}}),
                "it deletes `machine.kubelet.image`, which is not there",
            ),
            (
                json!({"machine": {"files": [{"path": "/c", "$patch": "delete"}]}}),
                "it deletes `machine.files` with `path: /c`, which is not there",
            ),
        ] {
            check(patch, Err(message));
        }
    }

    #[test]
    fn deletions_that_talos_does_not_know_are_refused() {
        for (patch, message) in [
            (
                json!({"machine": {"sysctls": {"$patch": "replace"}}}),
                "`$patch: replace` below `machine.sysctls` is not known",
            ),
            (
                json!({"machine": {"files": [{"path": "/a", "content": {"$patch": "delete"}}]}}),
                "it deletes a part of an item of `machine.files`",
            ),
            (
                json!({"machine": {"files": [{"$patch": "delete"}]}}),
                "it does not say which item of `machine.files` it deletes",
            ),
            (
                json!({"$patch": "delete"}),
                "it deletes the whole machine configuration",
            ),
        ] {
            check(patch, Err(message));
        }
    }
}
