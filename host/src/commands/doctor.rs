//! `ztc doctor`: this machine, checked: tools, directories, adapters, the repository.

use std::collections::BTreeMap;

use serde::Serialize;
use ztc_protocol::manifest::Tool;

use crate::adapter::sandbox::Support;
use crate::adapter::{Adapter, Discovery, Supervisor, attach};
use crate::commands::secrets::checks::{self, Checked};
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Severity};
use crate::lock::Lock;
use crate::platform::Platform;
use crate::tools;
use crate::ui::table::table;

/// Options of `ztc doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    what: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Missing,
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "MISSING",
            Self::Failed => "FAILED",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Ok | Self::Warning => Exit::Done,
            Self::Missing => Exit::Missing,
            Self::Failed => Exit::Failed,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let checks = wait_for(all(context, arguments))?;
    let worst = checks
        .iter()
        .map(|check| check.state)
        .max()
        .unwrap_or(State::Ok);
    if context.ui.is_json() {
        context.ui.json(&checks);
    } else {
        let rows: Vec<Vec<String>> = checks
            .iter()
            .map(|check| {
                vec![
                    check.state.word().to_owned(),
                    check.what.clone(),
                    check.detail.clone(),
                ]
            })
            .collect();
        context.ui.data(&table(&["STATE", "WHAT", "DETAIL"], &rows));
        for check in &checks {
            if let Some(help) = &check.help {
                context.ui.say(format!("  {}: {help}", check.what));
            }
        }
    }
    Ok(worst.exit())
}

async fn all(context: &Context, arguments: &Arguments) -> Result<Vec<Check>, Failure> {
    let mut checks = directories(context);
    let platform = Platform::load(&context.repository, arguments.env.as_deref());
    let plugins = platform
        .as_ref()
        .map(|platform| platform.plugins.clone())
        .unwrap_or_default();
    // What is wrong with a lock other commands say.
    let lock = Lock::load(&context.repository).ok().flatten();
    let discovery =
        Discovery::new(&context.machine, &context.repository, &plugins).with_lock(lock.as_ref());
    let wanted: Vec<String> = match &platform {
        Ok(platform) => platform
            .sections
            .iter()
            .map(|section| section.adapter.clone())
            .collect(),
        Err(_) => discovery
            .all()
            .into_iter()
            .map(|candidate| candidate.name)
            .collect(),
    };
    let environment = platform
        .as_ref()
        .ok()
        .map(|platform| platform.environment.clone());
    checks.push(repository(platform));
    checks.push(sandbox());
    attach::check_used(discovery.attached(), &wanted)?;
    let supervisor = Supervisor::new(discovery.granting_nothing(), context.ui.clone());
    let mut needed: BTreeMap<String, Tool> = BTreeMap::from([("bash".to_owned(), tools::bash())]);
    let mut running = Vec::new();
    for name in &wanted {
        checks.push(match supervisor.start(name).await {
            Ok(adapter) => {
                running.push(adapter.clone());
                tools::merge(&mut needed, &adapter.manifest.tools);
                let manifest = &adapter.manifest;
                ok(
                    format!("adapter {name}"),
                    format!("{} ({})", manifest.version, adapter.candidate.source.word()),
                )
            }
            Err(failure) => failed(format!("adapter {name}"), State::Failed, &failure),
        });
    }
    if let Some(environment) = &environment {
        for adapter in &running {
            checks.extend(secrets(context, environment, adapter).await);
        }
    }
    if let Some(open) = checks::open_files(&context.repository) {
        checks.push(Check {
            what: "secrets".into(),
            state: State::Warning,
            detail: open.message,
            help: open.help,
        });
    }
    supervisor.shutdown().await;
    for tool in needed.values() {
        checks.push(tool_check(tool).await);
    }
    Ok(checks)
}

/// One row for each bundle that exists.
async fn secrets(context: &Context, environment: &str, adapter: &Adapter) -> Vec<Check> {
    let checked = match checks::existing(&context.repository, environment, adapter).await {
        Ok(checked) => checked,
        Err(failure) => return vec![failed("secrets", State::Failed, &failure)],
    };
    checked.iter().map(secret).collect()
}

fn secret(checked: &Checked) -> Check {
    let detail = match checks::first_end(&checked.result) {
        Some(day) => format!("{}, until {day}", checked.file),
        None => checked.file.clone(),
    };
    let good = ok(format!("secrets {}", checked.name), detail);
    let found = checks::findings("", &checked.result);
    let worst = found
        .iter()
        .find(|finding| finding.severity == Severity::Error)
        .or(found.first());
    match worst {
        Some(finding) => Check {
            state: match finding.severity {
                Severity::Error => State::Failed,
                _ => State::Warning,
            },
            detail: finding.message.clone(),
            help: finding.help.clone(),
            ..good
        },
        None => good,
    }
}

fn ok(what: impl Into<String>, detail: impl Into<String>) -> Check {
    Check {
        what: what.into(),
        state: State::Ok,
        detail: detail.into(),
        help: None,
    }
}

fn failed(what: impl Into<String>, state: State, failure: &Failure) -> Check {
    let detail = match failure.details.first() {
        Some(detail) => format!("{}: {detail}", failure.message),
        None => failure.message.clone(),
    };
    Check {
        what: what.into(),
        state,
        detail,
        help: failure.help.clone(),
    }
}

fn repository(platform: Result<Platform, Failure>) -> Check {
    match platform {
        Ok(platform) => {
            let adapters: Vec<&str> = platform
                .sections
                .iter()
                .map(|section| section.name.as_str())
                .collect();
            ok(
                "platform.yaml",
                format!("{}: {}", platform.environment, adapters.join(", ")),
            )
        }
        Err(failure) => failed("platform.yaml", State::Warning, &failure),
    }
}

async fn tool_check(tool: &Tool) -> Check {
    let what = format!("tool {}", tool.name);
    match tools::find(tool).await {
        Ok(found) => ok(what, found.to_string()),
        // The engine brings its own.
        Err(_) if tool.name == "jq" => ok(what, "built in"),
        Err(failure) => failed(what, State::Missing, &failure),
    }
}

fn sandbox() -> Check {
    let support = Support::of_this_kernel();
    Check {
        state: match support {
            Support::Full => State::Ok,
            Support::Files | Support::None => State::Warning,
        },
        help: (support != Support::Full).then(|| {
            "use Linux 6.7 or later with `landlock` in its list of security modules, and only adapters that you trust".to_owned()
        }),
        ..ok("sandbox", support.text())
    }
}

fn directories(context: &Context) -> Vec<Check> {
    let temporary = std::env::temp_dir();
    let writable = |what: &str, path: &std::path::Path| match tempfile::tempfile_in(path) {
        Ok(_) => ok(what, path.display().to_string()),
        Err(error) => failed(what, State::Failed, &Failure::io("write to", path, &error)),
    };
    vec![
        writable("repository", context.repository.root()),
        writable("temporary directory", &temporary),
        ok(
            "plugin directory",
            context.machine.plugins.display().to_string(),
        ),
    ]
}
