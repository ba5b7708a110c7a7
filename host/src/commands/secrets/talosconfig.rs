//! `ztc secrets talosconfig`: the client configuration of the operator, filled in, with a certificate that is valid. The cluster's own secrets
//! are read and never changed.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atomic::{self, Existing};
use crate::commands::secrets::{Declared, Keeper, checks};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Location};
use crate::lock::Lock;
use crate::secrets::bundle::{self, Bundle};
use crate::secrets::git;

/// The name of the artifact.
const NAME: &str = "talosconfig";
/// The longest life of a certificate that is asked for: a hundred years.
const MOST_HOURS: u32 = 100 * 8_760;

/// What was written, as `--json` shows it.
#[derive(Serialize)]
struct Written {
    path: String,
    expires: Option<String>,
    renewed: bool,
}

/// Reads a time such as `12h`, `30d` or `1y` as hours.
pub(super) fn hours(text: &str) -> Result<u32, String> {
    let help = || "write it as `12h`, `30d` or `1y`".to_owned();
    let unit = match text.chars().last() {
        Some('h') => 1,
        Some('d') => 24,
        Some('y') => 8_760,
        _ => return Err(help()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| help())?;
    number
        .checked_mul(unit)
        .filter(|hours| (1..=MOST_HOURS).contains(hours))
        .ok_or_else(|| "it must be between 1h and 100y".to_owned())
}

impl Keeper<'_> {
    pub(super) async fn talosconfig(
        &self,
        output: Option<&Path>,
        valid_hours: Option<u32>,
    ) -> Result<Exit, Failure> {
        git::ensure_ignored(self.repository())?;
        git::refuse_tracked(self.repository()).await?;
        let output = self.output(output)?;
        let template = self.template()?;
        let (mut renewed, mut expires) = (false, None);
        let mut bundles = std::collections::BTreeMap::new();
        for name in bundle::referenced(&template) {
            if let Some(declared) = self.derived(&name) {
                self.refuse_exchanged_sources(declared)?;
                let freshened = self.freshen(declared, valid_hours).await?;
                renewed |= freshened.0;
                expires = expires.into_iter().chain(freshened.1).min();
            }
            let bundle = self.load(&name)?.ok_or_else(|| self.lost(&name))?;
            bundles.insert(name, bundle);
        }
        let text = bundle::fill(&template, &bundles)?;
        if output.starts_with(self.repository().secrets()) {
            atomic::private(&output, text.as_bytes(), Existing::Replace)?;
        } else {
            atomic::private_file(&output, text.as_bytes(), Existing::Replace)?;
        }
        let path = self.repository().display(&output);
        let until = expires
            .as_ref()
            .map(|day| format!("; its certificate is valid until {day}"))
            .unwrap_or_default();
        let ui = &self.context.ui;
        if ui.is_json() {
            ui.json(&Written {
                path: path.clone(),
                expires,
                renewed,
            });
        }
        ui.done(format!("wrote {path}{until}"));
        Ok(Exit::Done)
    }

    /// Where it is written. In the repository only below `secrets/`, which git never sees.
    fn output(&self, given: Option<&Path>) -> Result<PathBuf, Failure> {
        let Some(given) = given else {
            let directory = self.repository().secrets_of(&self.environment);
            return Ok(directory.join(NAME));
        };
        let fail = |error: std::io::Error| Failure::io("write", given, &error);
        let path = std::path::absolute(given).map_err(fail)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = parent.canonicalize().map_err(fail)?;
        let root = self.repository().root();
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        if parent.starts_with(&root) && !parent.starts_with(root.join("secrets")) {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "`{}` is a file that git would see, and it holds a private key",
                    given.display()
                ),
            )
            .help("give a path below `secrets/`, or one outside of the repository"));
        }
        Ok(path)
    }

    fn derived(&self, name: &str) -> Option<&Declared> {
        self.declared
            .iter()
            .find(|declared| declared.bundle.name == name && !declared.bundle.from.is_empty())
    }

    /// The artifact as it was rendered, with its placeholders.
    fn template(&self) -> Result<String, Failure> {
        let lock = self.lock.as_ref().ok_or_else(not_rendered)?;
        let (path, digest) = locate(lock).ok_or_else(not_rendered)?;
        let file = self.repository().generated().join(path);
        let shown = self.repository().display(&file);
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::io("read", &shown, &error).help("run `ztc render`"))?;
        if sha256_hex(text.as_bytes()) != digest {
            return Err(Failure::new(
                Exit::Differences,
                "the rendered talosconfig is not the one that the lock knows",
            )
            .at(Location::file(shown))
            .help("`ztc validate` says what else differs; `ztc render` makes it again"));
        }
        Ok(text)
    }

    /// Makes a bundle anew where it is missing, wrong, soon at its end, or where the operator wants so. Says whether, and when it ends.
    async fn freshen(
        &self,
        declared: &Declared,
        valid_hours: Option<u32>,
    ) -> Result<(bool, Option<String>), Failure> {
        let ui = &self.context.ui;
        let name = &declared.bundle.name;
        let old = self.judged(declared).await?;
        if let Some((end, reasons)) = &old {
            if let Some(end) = end {
                ui.say(format!(
                    "  the certificate in `{name}` is valid until {end}"
                ));
            }
            for reason in reasons {
                ui.say(format!("  {reason}"));
            }
            if reasons.is_empty() && valid_hours.is_none() {
                return Ok((false, end.clone()));
            }
        }
        self.make(declared, Existing::Replace, valid_hours).await?;
        let new = self.judged(declared).await?;
        Ok((true, new.and_then(|(end, _)| end)))
    }

    /// When an existing bundle ends, and what is wrong with it.
    async fn judged(
        &self,
        declared: &Declared,
    ) -> Result<Option<(Option<String>, Vec<String>)>, Failure> {
        let path = Bundle::path(self.repository(), &self.environment, &declared.bundle.name);
        let Ok(content) = std::fs::read_to_string(path) else {
            return Ok(None);
        };
        let result = self.examine(declared, &content).await?;
        let end = checks::first_end(&result).map(str::to_owned);
        let reasons = checks::findings("", &result)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        Ok(Some((end, reasons)))
    }
}

fn locate(lock: &Lock) -> Option<(&str, &str)> {
    let (path, file) = lock
        .artifacts
        .iter()
        .find(|(path, _)| path.rsplit('/').next() == Some(NAME))?;
    Some((path, &file.sha256))
}

fn not_rendered() -> Failure {
    Failure::new(
        Exit::Differences,
        "nothing has been rendered for this environment that holds a talosconfig",
    )
    .help("run `ztc render`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_hours_days_or_years() {
        for (text, expected) in [
            ("12h", 12),
            ("30d", 720),
            ("1y", 8_760),
            ("100y", MOST_HOURS),
        ] {
            assert_eq!(hours(text), Ok(expected));
        }
        for text in [
            "",
            "h",
            "12",
            "0h",
            "101y",
            "-1d",
            "1w",
            "99999999999h",
            "1 d",
            "ü",
        ] {
            assert!(hours(text).is_err(), "{text}");
        }
    }
}
