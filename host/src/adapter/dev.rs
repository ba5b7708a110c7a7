//! An author's own build in place of an adapter: `ZTC_PLUGIN_DEV=name=path`, several separated by commas. It runs in the sandbox like any
//! other; it is said at every start, and no lock ever names it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Exit, Failure, did_you_mean};
use crate::plugins::index::and;

/// The variable.
pub(crate) const VARIABLE: &str = "ZTC_PLUGIN_DEV";

/// Reads the variable. Paths are relative to the working directory.
pub(crate) fn from_environment() -> Result<BTreeMap<String, PathBuf>, Failure> {
    let builds = parse(&std::env::var(VARIABLE).unwrap_or_default())?;
    for (name, path) in &builds {
        if !path.is_file() {
            let message = format!(
                "there is no file `{}`, which `{VARIABLE}` names for adapter `{name}`",
                path.display()
            );
            return Err(Failure::new(Exit::Missing, message)
                .help("build it, or correct or unset the variable"));
        }
    }
    Ok(builds)
}

/// Says that a build is of an adapter that nothing uses here: its author would believe that it has rendered.
pub(crate) fn unused(name: &str, used: &[String]) -> Failure {
    let message = format!("`{VARIABLE}` names adapter `{name}`, which nothing uses here");
    let failure = Failure::invalid(message);
    match used {
        [] => failure.help(format!("run `unset {VARIABLE}`: no adapter is used here")),
        used => {
            let names: Vec<&str> = used.iter().map(String::as_str).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            let failure = failure.detail(format!("used {verb} {}", and(&names)));
            let help = did_you_mean(name, names);
            failure.help(
                help.unwrap_or_else(|| format!("name one of them, or run `unset {VARIABLE}`")),
            )
        }
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(|item| {
            let pair = item
                .split_once('=')
                .filter(|(name, path)| !name.is_empty() && !path.is_empty());
            let (name, path) = pair.ok_or_else(|| {
                Failure::invalid(format!("`{VARIABLE}` holds `{item}`, which is not `name=path`"))
                    .help(format!(
                        "name the adapter and its program: `{VARIABLE}=bgp=target/debug/ztc-adapter-bgp`; several are separated by commas"
                    ))
            })?;
            let path = std::path::absolute(path)
                .map_err(|error| Failure::io("find", path, &error))?;
            Ok((name.to_owned(), path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_separated_by_commas() {
        let builds = parse("bgp=/a/bgp, rack=/b=c,").unwrap();
        let expected = [("bgp", "/a/bgp"), ("rack", "/b=c")];
        assert_eq!(
            builds,
            expected
                .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
                .into()
        );
        let failure = parse("bgp").unwrap_err();
        assert_eq!(
            failure.message,
            "`ZTC_PLUGIN_DEV` holds `bgp`, which is not `name=path`"
        );
    }
}
