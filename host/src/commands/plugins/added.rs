//! `ztc plugins publish --add PROGRAM`: what an executable from elsewhere is called in a tree. One whose name does not say it is asked.

use std::path::{Path, PathBuf};

use semver::Version;

use crate::commands::Context;
use crate::commands::plugins::introduce_program;
use crate::error::{Exit, Failure};
use crate::lock;
use crate::plugins::head::format_problem;
use crate::plugins::name::FileName;
use crate::plugins::name::{PREFIX, split_version};

/// The platforms that a script is published for.
const EVERYWHERE: [&str; 4] = [
    "linux-x86_64",
    "linux-aarch64",
    "macos-x86_64",
    "macos-aarch64",
];

/// Returns the places of the executables in a tree. A script has several.
pub(crate) fn read(
    context: &Context,
    tree: &Path,
    programs: &[PathBuf],
) -> Result<Vec<(FileName, PathBuf)>, Failure> {
    let mut all = Vec::new();
    for program in programs {
        let path = std::path::absolute(context.repository.root().join(program))
            .map_err(|error| Failure::io("find", program, &error))?;
        if !path.is_file() {
            return Err(Failure::new(
                Exit::Missing,
                format!("there is no program `{}`", program.display()),
            )
            .help("give `--add` the path of an adapter's executable"));
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match FileName::parse(&file) {
            // It is there already, and published with everything else that is.
            Some(_) if path.parent() == Some(tree) => {}
            Some(name) => all.push((name, path)),
            None => all.extend(asked(context, program, &path, &file)?),
        }
    }
    Ok(all)
}

/// Asks an executable who it is.
fn asked(
    context: &Context,
    program: &Path,
    path: &Path,
    file: &str,
) -> Result<Vec<(FileName, PathBuf)>, Failure> {
    let shown = program.display();
    let machine = lock::machine();
    if let Some(problem) = format_problem(path, &machine)? {
        return Err(Failure::invalid(format!(
            "`{shown}` does not run here, so it cannot be asked who it is: {problem}"
        ))
        .help("name the file `ztc-adapter-NAME-VERSION-OS-ARCH`, such as `ztc-adapter-bgp-1.2.0-linux-aarch64`"));
    }
    let (name, _) = split_version(file.strip_prefix(PREFIX).unwrap_or(file));
    let manifest = introduce_program(context, name, path)?.manifest;
    let version = Version::parse(&manifest.version)
        .ok()
        .filter(|version| version.build.is_empty())
        .ok_or_else(|| {
            Failure::invalid(format!(
                "`{shown}` says that its version is `{}`, which is not one that can be published",
                manifest.version
            ))
            .help("give its manifest a version such as `1.2.0`")
        })?;
    let mut places = Vec::new();
    let other = Some(machine.as_str()).filter(|machine| !EVERYWHERE.contains(machine));
    for platform in EVERYWHERE.into_iter().chain(other) {
        if format_problem(path, platform)?.is_none() {
            let name = FileName {
                name: manifest.name.clone(),
                version: version.clone(),
                platform: platform.to_owned(),
            };
            // A name from outside becomes a path below the tree.
            if FileName::parse(&name.file()).as_ref() != Some(&name) {
                return Err(Failure::invalid(format!(
                    "`{shown}` says that it is `{}`, which is not the name of an adapter",
                    manifest.name
                ))
                .help("use lower-case letters, digits and hyphens, such as `bgp-check`"));
            }
            places.push((name, path.to_owned()));
        }
    }
    Ok(places)
}
