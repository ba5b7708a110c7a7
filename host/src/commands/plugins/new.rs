//! `ztc plugins new`: writes a small adapter that works, to begin with.

use std::path::PathBuf;

use crate::commands::Context;
use crate::error::{Exit, Failure};
use crate::scaffold::{self, Language, Wish};

/// Options of `ztc plugins new`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The adapter's name: lower-case letters, digits and hyphens
    name: String,
    /// The language that it is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// Where to write it [default: ztc-adapter-NAME]
    // `--directory` is everywhere the repository; here it says where the new files go, relative to it.
    #[arg(long = "to", value_name = "DIR")]
    to: Option<PathBuf>,
    /// A local copy of the crate ztc-adapter-sdk (only for rust)
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments {
        name,
        lang,
        to,
        sdk,
    } = arguments;
    let default = || PathBuf::from(format!("ztc-adapter-{name}"));
    let place = to.clone().unwrap_or_else(default);
    let directory = context.repository.root().join(&place);
    let written = scaffold::write(&Wish {
        name,
        language: *lang,
        sdk: sdk.as_deref(),
        directory: &directory,
    })?;
    if context.ui.is_json() {
        context.ui.json(&serde_json::json!({ "directory": directory, "files": written.files, "program": written.program }));
        return Ok(Exit::Done);
    }
    for file in &written.files {
        context.ui.say(format!("  {}", place.join(file).display()));
    }
    context.ui.done(format!(
        "wrote the adapter `{name}` to `{}`",
        place.display()
    ));
    let program = place.join(&written.program);
    let test = format!("ztc plugins test {}", scaffold::with_slash(&program));
    match lang {
        Language::Rust => context.ui.next(
            &format!(
                "cargo build --manifest-path {}",
                place.join("Cargo.toml").display()
            ),
            &format!("build it; then `{test}`"),
        ),
        _ => context.ui.next(&test, "check that it keeps the protocol"),
    }
    Ok(Exit::Done)
}
