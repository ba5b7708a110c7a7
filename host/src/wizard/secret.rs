//! Asks where a secret is. What is kept is a reference; a value that is typed goes into `secrets/` and nowhere else.

use serde_json::Value;
use ztc_protocol::message::InputPrompt;

use crate::secrets::Reference;
use crate::wizard::ask::Asking;
use crate::wizard::prompter::{Choice, Kind, Prompter, Reply, Stop, World};
use crate::wizard::value;

const SOURCES: [(&str, &str); 4] = [
    ("environment variable", "set in the shell or by CI"),
    ("file", "outside the repository, or one that git ignores"),
    ("command", "a password manager, `sops -d`, `vault`"),
    (
        "type it now",
        "kept in secrets/, readable by you alone, ignored by git",
    ),
];

/// Returns a reference.
pub(super) fn ask<P: Prompter, W: World>(
    asking: &mut Asking<'_, P, W>,
    prompt: &InputPrompt,
) -> Result<Option<Value>, Stop> {
    let mut options: Vec<Choice> = SOURCES
        .iter()
        .map(|(value, note)| Choice {
            value: (*value).to_owned(),
            note: (*note).to_owned(),
        })
        .collect();
    if !prompt.required {
        options.push(Choice {
            value: "none".to_owned(),
            note: "leave it out".to_owned(),
        });
    }
    let reference = match asking.one_of(
        &prompt.prompt,
        prompt.help_text.as_deref(),
        options,
        Some(0),
    )? {
        0 => variable(asking)?,
        1 => file(asking)?,
        2 => command(asking)?,
        3 => store(asking)?,
        _ => return Ok(None),
    };
    Ok(Some(reference.to_value()))
}

fn variable<P: Prompter, W: World>(asking: &mut Asking<'_, P, W>) -> Result<Reference, Stop> {
    let default = asking
        .variable
        .clone()
        .unwrap_or_else(|| variable_name(&asking.answer));
    let name = line(
        asking,
        "Its name",
        Some(default),
        |line| match is_variable(line) {
            true => Ok(line.to_owned()),
            false => Err(
                "a variable's name has letters, digits and underscores, and no digit at its start"
                    .to_owned(),
            ),
        },
    )?;
    if !asking.world.has_variable(&name) {
        asking.prompter.note(&format!("`{name}` is not set in this shell yet; before `ztc render`: read -rs {name} && export {name}"));
    }
    Ok(Reference::Env { name })
}

fn file<P: Prompter, W: World>(asking: &mut Asking<'_, P, W>) -> Result<Reference, Stop> {
    let path = line(asking, "Its path, from this repository", None, |line| {
        Ok(line.to_owned())
    })?;
    if !asking.world.has_file(&path) {
        asking.prompter.note(&format!(
            "there is no file `{path}` yet; it is read when `ztc` needs the secret"
        ));
    }
    Ok(Reference::File { path })
}

fn command<P: Prompter, W: World>(asking: &mut Asking<'_, P, W>) -> Result<Reference, Stop> {
    let command = line(
        asking,
        "Program and arguments, such as `pass show hcloud`",
        None,
        value::command,
    )?;
    Ok(Reference::Command { command })
}

fn store<P: Prompter, W: World>(asking: &mut Asking<'_, P, W>) -> Result<Reference, Stop> {
    let question = asking.question("The secret (it is not shown)", None, Kind::Hidden);
    let value = loop {
        match asking.prompter.ask(&question)? {
            Reply::Line(value) if !value.trim().is_empty() => break value,
            _ => asking
                .prompter
                .refuse(&question, "an answer is needed here")?,
        }
    };
    let name = asking.answer.replace(['.', '_'], "-");
    asking.world.store(&name, value.trim())?;
    asking.prompter.note(&format!("kept in `secrets/{name}`"));
    Ok(Reference::Store { name })
}

fn line<P: Prompter, W: World, T>(
    asking: &mut Asking<'_, P, W>,
    prompt: &str,
    default: Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Stop> {
    let question = asking.question(
        prompt,
        None,
        Kind::Text {
            default,
            initial: String::new(),
            required: true,
        },
    );
    asking.until(&question, read)?.ok_or(Stop::Unanswered)
}

/// `hetzner.api_token` → `HETZNER_API_TOKEN`
fn variable_name(answer: &str) -> String {
    answer
        .to_uppercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
