//! Somebody else's adapter: published as its author would do it, and a section for it in the lab's answers. Knows `ztc` only by its command line.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::demo::{DemoError, find_ztc, finish};
use crate::image::digest;
use crate::world::Info;
use crate::{process, say};

/// The adapters that the lab has an author for: name, program below `examples/`.
pub const ADAPTERS: [(&str, &str); 1] =
    [("endpoint-check", "adapter-sh/ztc-adapter-endpoint-check")];

/// Publishes every adapter of [`ADAPTERS`] into a tree, with a key beside it that is made where there is none; whether that went well.
pub async fn publish(tree: &Path, executable: &Path) -> Result<bool, DemoError> {
    let ztc = find_ztc(executable).await?;
    let key = PathBuf::from(format!("{}.key", tree.display()));
    say::heading("The author of an adapter, who is somebody else, publishes it.");
    say::remark(
        "The key is made now and lies beside the tree; a real one is kept in a safe place and has a password.",
    );
    if let Some(parent) = tree.parent() {
        std::fs::create_dir_all(parent).map_err(|source| DemoError::File {
            path: parent.to_owned(),
            source,
        })?;
    }
    if is_of_another_state(tree, &key) {
        let aside = aside(tree);
        say::remark(&format!(
            "The example has changed under its version since this tree was made, which an author never does. The tree begins anew; the old one is {}.",
            aside.display()
        ));
        std::fs::rename(tree, &aside).map_err(|source| DemoError::File {
            path: tree.to_owned(),
            source,
        })?;
        for file in [key.clone(), PathBuf::from(format!("{}.pub", text(&key)))] {
            std::fs::remove_file(&file).map_err(|source| DemoError::File { path: file, source })?;
        }
    }
    if !key.is_file()
        && !ztc_says(&ztc, &["plugins", "keygen", &text(&key), "--no-password"]).await?
    {
        return Ok(false);
    }
    let mut words = ["plugins", "publish", &text(tree), "--key", &text(&key)]
        .map(str::to_owned)
        .to_vec();
    for (_, program) in ADAPTERS {
        words.extend(["--add".to_owned(), text(&example(program))]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if !ztc_says(&ztc, &words).await?
        || !ztc_says(&ztc, &["plugins", "publish-check", &text(tree)]).await?
    {
        return Ok(false);
    }
    for (name, _) in ADAPTERS {
        say::heading("An operator installs it with");
        say::command(&format!(
            "ztc plugins install {name} --source {} --key {}.pub",
            tree.display(),
            key.display()
        ));
    }
    Ok(true)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a tree that the lab has made holds an example with its version of today and other bytes: its repository has moved on since.
fn is_of_another_state(tree: &Path, key: &Path) -> bool {
    let index = std::fs::read(tree.join("index.json")).unwrap_or_default();
    let Ok(index) = serde_json::from_slice::<Value>(&index) else {
        return false;
    };
    key.is_file()
        && ADAPTERS.iter().any(|(name, program)| {
            let bytes = std::fs::read(example(program)).unwrap_or_default();
            let sha256 = digest(&bytes);
            let says = String::from_utf8_lossy(&bytes);
            let versions = index["adapters"][*name]["versions"].as_object();
            versions.into_iter().flatten().any(|(version, release)| {
                let mut platforms = release["platforms"].as_object().into_iter().flatten();
                says.contains(&format!("\"version\": \"{version}\""))
                    && platforms.all(|(_, file)| file["sha256"] != *sha256)
            })
        })
}

/// A name beside the tree that nothing has.
fn aside(tree: &Path) -> PathBuf {
    let names = (1..).map(|number| PathBuf::from(format!("{}.before-{number}", tree.display())));
    names
        .into_iter()
        .find(|path| !path.exists())
        .unwrap_or_default()
}

/// The section of an adapter in the lab's answers.
pub(crate) fn section(info: &Info, name: &str) -> String {
    let address = info.control.trim_start_matches("http://");
    let address = address.split('/').next().unwrap_or(address);
    format!("  {name}:\n    endpoints: [\"{address}\"]\n")
}

/// The program of an example, relative to where we are if it is below.
fn example(program: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let path = examples.unwrap_or(Path::new("examples")).join(program);
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .map_or_else(|_| path.clone(), Path::to_owned)
}

async fn ztc_says(ztc: &Path, words: &[&str]) -> Result<bool, DemoError> {
    say::command(&format!("ztc {}", words.join(" ")));
    let mut command = process::program(ztc);
    command.args(words);
    Ok(finish("ztc", command).await?.success())
}
