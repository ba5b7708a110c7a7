//! What the operator stored himself directly below `secrets/`, as the bundle that placeholders `ztc-secret:store/<name>` mean. Reads, and
//! knows only names that the operator wrote into `platform.yaml` or into a file that it names: no adapter can ask for others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::error::{Exit, Failure, Location};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::platform::Section;
use crate::secrets::Reference;
use crate::secrets::bundle::{self, Bundle};

/// The bundle that placeholders name.
pub(crate) const STORE: &str = "store";

/// More is no token.
const LARGEST: u64 = 64 * 1024;

/// Reads what is stored; values are masked from then on. Nothing where nothing is.
pub(crate) fn load(repository: &Repository, mask: &Mask) -> Result<Option<Bundle>, Failure> {
    let mut values = Map::new();
    for entry in std::fs::read_dir(repository.secrets())
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        let (Ok(meta), Ok(name)) = (path.metadata(), entry.file_name().into_string()) else {
            continue;
        };
        // Public halves of keys are for everybody to see.
        if !meta.is_file()
            || meta.len() > LARGEST
            || name.starts_with('.')
            || name.ends_with(".pub")
        {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        values.insert(name, text.trim().into());
    }
    Ok((!values.is_empty()).then(|| Bundle::of_store(mask, values)))
}

/// Adds what is stored to bundles.
pub(crate) fn join(
    repository: &Repository,
    mask: &Mask,
    bundles: &mut BTreeMap<String, Bundle>,
) -> Result<(), Failure> {
    if let Some(store) = load(repository, mask)? {
        bundles.entry(STORE.to_owned()).or_insert(store);
    }
    Ok(())
}

/// The names that an operator wrote into a section, as placeholders or as references (`{from: store, name: ...}`), or into a file that it names.
pub(crate) fn asked<'a>(
    repository: &Repository,
    section: &Section,
    files: impl IntoIterator<Item = &'a String>,
) -> BTreeSet<String> {
    let mut asked = names(&Value::Object(section.config.clone()).to_string());
    for value in section.config.values() {
        references(value, &mut asked);
    }
    for file in files {
        let text = std::fs::read_to_string(repository.root().join(file)).unwrap_or_default();
        asked.extend(names(&text));
    }
    asked
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Ok(Reference::Store { name }) = Reference::parse(value) {
                found.insert(name);
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The names that a text refers to.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    if !text.contains(bundle::PREFIX) {
        return BTreeSet::new();
    }
    bundle::places(text)
        .filter_map(|place| place.strip_prefix("store/").map(str::to_owned))
        .collect()
}

/// Refuses a text that refers to what is not stored, or cannot stand in a file.
pub(crate) fn check(text: &str, store: Option<&Bundle>) -> Result<(), Failure> {
    for name in names(text) {
        let file = format!("secrets/{name}");
        let Some(value) = store.and_then(|store| store.value(&name)) else {
            return Err(Failure::new(
                Exit::Refused,
                format!("nothing is stored for the placeholder `ztc-secret:store/{name}`"),
            )
            .at(Location::file(&file))
            .help(format!("write the value there, in one line: `install -d -m 700 secrets; (umask 077; cat > {file})`")));
        };
        let odd = |c: char| c.is_control() || matches!(c, '\'' | '"' | '\\');
        if value.is_empty() || value.chars().any(odd) {
            return Err(Failure::new(
                Exit::Refused,
                format!("the value that is stored as `{name}` cannot stand in a configuration"),
            )
            .at(Location::file(&file))
            .help("it must be one line without quotes and backslashes"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_stands_for_its_placeholder() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let mask = Mask::default();
        assert!(load(&repository, &mask).unwrap().is_none());
        std::fs::create_dir_all(repository.secrets().join("lab")).unwrap();
        for (name, text) in [
            ("token", "0123456789abcdef\n"),
            ("two", "a\nb\n"),
            ("key.pub", "public-key\n"),
        ] {
            std::fs::write(repository.secrets().join(name), text).unwrap();
        }
        let store = load(&repository, &mask).unwrap().unwrap();
        let text = "apiToken: 'ztc-secret:store/token'\n";
        assert_eq!(names(text), BTreeSet::from(["token".to_owned()]));
        assert!(check(text, Some(&store)).is_ok());
        assert!(!mask.apply("0123456789abcdef").contains("0123"));
        let bundles = BTreeMap::from([(STORE.to_owned(), store.clone())]);
        assert_eq!(
            bundle::fill(text, &bundles).unwrap(),
            "apiToken: '0123456789abcdef'\n"
        );
        for (name, store, message) in [
            (
                "none",
                Some(&store),
                "nothing is stored for the placeholder `ztc-secret:store/none`",
            ),
            (
                "key.pub",
                Some(&store),
                "nothing is stored for the placeholder `ztc-secret:store/key.pub`",
            ),
            (
                "token",
                None,
                "nothing is stored for the placeholder `ztc-secret:store/token`",
            ),
            (
                "two",
                Some(&store),
                "the value that is stored as `two` cannot stand in a configuration",
            ),
        ] {
            let failure = check(&format!("a: ztc-secret:store/{name}"), store).unwrap_err();
            assert_eq!(
                (failure.exit, failure.message.as_str()),
                (Exit::Refused, message)
            );
        }
    }

    #[test]
    fn a_reference_to_the_store_asks_for_its_name_wherever_it_stands() {
        let section = Section {
            name: "talos".into(),
            adapter: "talos".into(),
            config: serde_json::json!({
                "vip": {"token": {"from": "store", "name": "vip-token"}},
                "other": [{"from": "env", "name": "HOME"}, "ztc-secret:store/written"],
            })
            .as_object()
            .unwrap()
            .clone(),
        };
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let found = asked(&repository, &section, &Vec::new());
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["vip-token", "written"]
        );
    }
}
