//! `ztc secrets kubeconfig`: where the cluster's kubeconfig is, and how it gets into the operator's own one. Only `--merge` touches that one, after
//! a copy was kept.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::atomic::{self, Existing};
use crate::commands::Context;
use crate::error::{Exit, Failure, Location};
use crate::platform::Platform;
use crate::shell::word;
use crate::yaml;

/// The lists of a kubeconfig, whose items have names.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// What was done, as `--json` shows it.
#[derive(Serialize)]
struct Report {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

/// Runs the command.
pub(super) fn run(
    context: &Context,
    environment: Option<&str>,
    merge: bool,
) -> Result<Exit, Failure> {
    let platform = Platform::load(&context.repository, environment)?;
    let directory = context.repository.secrets_of(&platform.environment);
    let path = directory.join("kubeconfig");
    if !path.exists() {
        return Err(Failure::invalid(format!(
            "there is no kubeconfig of `{}` yet",
            platform.environment
        ))
        .at(Location::file(context.repository.display(&path)))
        .help("`ztc bootstrap` fetches it as soon as the cluster has one"));
    }
    if merge {
        return merge_into_own(context, &path);
    }
    if context.ui.is_json() {
        context.ui.json(&Report {
            path: path.display().to_string(),
            merged_into: None,
            copy: None,
            context: None,
        });
    } else {
        context.ui.data(&path.display().to_string());
        context.ui.say(format!(
            "  use it with `export KUBECONFIG={}`; `ztc secrets kubeconfig --merge` puts it into your own",
            word(&path.display().to_string())
        ));
    }
    Ok(Exit::Done)
}

fn merge_into_own(context: &Context, path: &Path) -> Result<Exit, Failure> {
    let ours = read(path)?.unwrap_or_default();
    let target = own()?;
    let old = read(&target)?;
    let (merged, replaced) = merged(old.clone().unwrap_or_default(), &ours);
    let name = ours
        .get("current-context")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let copy = old.is_some().then(|| keep_copy(&target)).transpose()?;
    let text = yaml::write(&merged)
        .map_err(|error| Failure::failed(format!("failed to write a kubeconfig: {error}")))?;
    let parent = target.parent().unwrap_or(Path::new("/"));
    if !parent.exists() {
        atomic::private_directory(parent)?;
    }
    atomic::private_file(&target, text.as_bytes(), Existing::Replace)?;
    let ui = &context.ui;
    for what in &replaced {
        ui.say(format!("  {what} had another content and was replaced"));
    }
    if let Some(copy) = &copy {
        ui.say(format!("  what it was before is in {}", copy.display()));
    }
    if ui.is_json() {
        ui.json(&Report {
            path: path.display().to_string(),
            merged_into: Some(target.display().to_string()),
            copy: copy.map(|copy| copy.display().to_string()),
            context: Some(name.clone()),
        });
    }
    ui.done(format!("merged into {}", target.display()));
    ui.next(
        &format!("kubectl --context {name} get nodes"),
        "looks at the cluster",
    );
    Ok(Exit::Done)
}

/// The operator's kubeconfig: the first of `KUBECONFIG`, else `~/.kube/config`. Behind a link, what the link leads to.
fn own() -> Result<PathBuf, Failure> {
    let named = std::env::var_os("KUBECONFIG");
    let first = named
        .iter()
        .flat_map(std::env::split_paths)
        .find(|path| !path.as_os_str().is_empty());
    let path = match first {
        Some(path) => path,
        None => dirs::home_dir()
            .ok_or_else(|| {
                Failure::invalid("nobody knows where your kubeconfig is")
                    .help("set `KUBECONFIG` or `HOME`")
            })?
            .join(".kube/config"),
    };
    Ok(path.canonicalize().unwrap_or(path))
}

fn read(path: &Path) -> Result<Option<Map<String, Value>>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", path, &error)),
    };
    if text.trim().is_empty() {
        return Ok(Some(Map::new()));
    }
    // The library's own message may quote a line with a key.
    match yaml::parse::<Value>(&text) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        _ => Err(
            Failure::invalid("it is not a kubeconfig, so nothing was changed")
                .at(Location::file(path.display().to_string()))
                .help("repair it, or move it away"),
        ),
    }
}

/// Keeps a copy beside the file, under a name that nothing has.
pub(super) fn keep_copy(path: &Path) -> Result<PathBuf, Failure> {
    let content = std::fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    let base = path.display();
    let free = (1..)
        .map(|number| PathBuf::from(format!("{base}.before-ztc-{number}")))
        .find(|copy| !copy.exists())
        .expect("one of all numbers is free");
    atomic::private_file(&free, &content, Existing::Keep)?;
    Ok(free)
}

/// Takes the items of the second into the first, by name; says which of the first had another content. The current context stays, where there is one.
fn merged(
    mut own: Map<String, Value>,
    ours: &Map<String, Value>,
) -> (Map<String, Value>, Vec<String>) {
    let mut replaced = Vec::new();
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")] {
        own.entry(key).or_insert_with(|| value.into());
    }
    for list in LISTS {
        let place = own.entry(list).or_insert_with(|| json!([]));
        if !place.is_array() {
            *place = json!([]);
        }
        let (Value::Array(items), Some(new)) = (place, ours.get(list).and_then(Value::as_array))
        else {
            continue;
        };
        for item in new {
            match items.iter_mut().find(|old| old["name"] == item["name"]) {
                Some(old) if old == item => {}
                Some(old) => {
                    let name = item["name"].as_str().unwrap_or_default();
                    replaced.push(format!("`{name}` in `{list}`"));
                    *old = item.clone();
                }
                None => items.push(item.clone()),
            }
        }
    }
    let has_current = own
        .get("current-context")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    if !has_current && let Some(current) = ours.get("current-context") {
        own.insert("current-context".into(), current.clone());
    }
    (own, replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: &str, server: &str) -> Map<String, Value> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {"server": server}}],
            "users": [{"name": format!("admin@{cluster}"), "user": {}}],
            "contexts": [{"name": format!("admin@{cluster}"), "context": {"cluster": cluster}}],
            "current-context": format!("admin@{cluster}"),
        });
        config.as_object().unwrap().clone()
    }

    #[test]
    fn what_was_there_stays() {
        let (all, replaced) = merged(config("old", "https://a"), &config("new", "https://b"));
        assert_eq!(replaced, Vec::<String>::new());
        assert_eq!(all["current-context"], "admin@old");
        let names: Vec<_> = LISTS
            .map(|list| all[list].as_array().unwrap().len())
            .to_vec();
        assert_eq!(names, [2, 2, 2]);
    }

    #[test]
    fn the_same_name_is_replaced_and_said() {
        let (all, replaced) = merged(config("a", "https://old"), &config("a", "https://new"));
        assert_eq!(replaced, ["`a` in `clusters`"]);
        assert_eq!(all["clusters"][0]["cluster"]["server"], "https://new");
    }

    #[test]
    fn an_empty_one_becomes_a_copy() {
        let ours = config("a", "https://a");
        assert_eq!(merged(Map::new(), &ours).0, ours);
    }
}
