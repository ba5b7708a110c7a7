//! The commands, one file each: what the options mean and the order of the steps. The work itself is in the other modules.

pub(crate) mod bootstrap;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod eject;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod interrupt;
pub(crate) mod plan;
pub(crate) mod plugins;
pub(crate) mod render;
pub(crate) mod report;
pub(crate) mod reset;
pub(crate) mod rollback;
pub(crate) mod running;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod update_versions;
pub(crate) mod vacuum;
pub(crate) mod validate;
pub(crate) mod version;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::adapter;
use crate::cli::{Cli, Command, Global};
use crate::error::{Exit, Failure, Finding};
use crate::jq;
use crate::mask::Mask;
use crate::paths::{Confinement, Machine, Repository, Running};
use crate::process;
use crate::ui::{Loudness, Ui, trace};

/// The variable that names a mirror of all sources of plugins.
const MIRROR: &str = "ZTC_PLUGINS_MIRROR";

/// What every command works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) repository: Repository,
    pub(crate) machine: Machine,
    pub(crate) ui: Ui,
}

/// Runs the program: an adapter or helper of its own where it was started as one, else the command line.
pub fn main() -> ExitCode {
    if let Some(code) = adapter::run_as_part(std::env::args_os().skip(1)) {
        return code;
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == process::SESSION_ARGUMENT)
    {
        return process::become_program(std::env::args_os().skip(2));
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == jq::ARGUMENT)
    {
        return jq::main(
            std::env::args_os()
                .skip(2)
                .map(|argument| argument.to_string_lossy().into_owned()),
        );
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = voice(&cli.global);
    match context(&cli.global, ui.clone()).and_then(|context| dispatch(&context, cli.command)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.into()
        }
    }
}

fn voice(global: &Global) -> Ui {
    let loudness = if global.quiet {
        Loudness::Quiet
    } else {
        Loudness::Normal
    };
    let mask = Mask::default();
    trace::start(global.verbose, mask.clone());
    Ui::new(loudness, !global.no_color, global.json, mask)
}

fn context(global: &Global, ui: Ui) -> Result<Context, Failure> {
    let repository = Repository::find(global.directory.as_deref())?;
    let machine = Machine {
        running: running(global, &ui)?,
        ..Machine::find()
    };
    Ok(Context {
        repository,
        machine,
        ui,
    })
}

/// Says loudly what is out of the ordinary.
fn running(global: &Global, ui: &Ui) -> Result<Running, Failure> {
    let confinement = match global.no_sandbox {
        true => Confinement::Nothing,
        false => Confinement::Sandbox,
    };
    if confinement == Confinement::Nothing {
        let warning = Finding::warning(
            "adapters run WITHOUT their sandbox: each can read your keys, change any of your files and connect anywhere",
        );
        ui.finding(&warning.help("leave `--no-sandbox` out as soon as you can"));
    }
    let attached = adapter::attach::from_environment()?;
    for (name, socket) in &attached {
        ui.warning(format!(
            "adapter `{name}` is the one that already runs at `{}`: outside the sandbox and without time limits",
            socket.display()
        ));
    }
    let dev = adapter::dev::from_environment()?;
    for (name, program) in &dev {
        ui.warning(format!(
            "adapter `{name}` is the author's build `{}` (`{}`): nobody has verified it, it is never locked, and what it renders is not bootstrapped",
            program.display(),
            adapter::dev::VARIABLE
        ));
    }
    if let Some(file) = &global.record {
        adapter::record::create(file)?;
    }
    Ok(Running {
        confinement,
        attached,
        dev,
        record: global.record.clone(),
        mirror: mirror(),
    })
}

/// The mirror of this machine. A directory is meant from where ztc was started, wherever its files are read from later.
fn mirror() -> Option<String> {
    let place = std::env::var(MIRROR).ok()?;
    let is_relative = !place.is_empty() && !place.contains(':') && !place.starts_with('/');
    match std::path::absolute(&place) {
        Ok(path) if is_relative => Some(path.display().to_string()),
        _ => Some(place).filter(|place| !place.is_empty()),
    }
}

fn dispatch(context: &Context, command: Command) -> Result<Exit, Failure> {
    if !matches!(
        command,
        Command::Vacuum(_) | Command::Version(_) | Command::Completions(_)
    ) {
        vacuum::sweep();
    }
    match command {
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Render(arguments) => render::run(context, &arguments),
        Command::Validate(arguments) => validate::run(context, &arguments),
        Command::Plan(arguments) => plan::run(context, &arguments),
        Command::Bootstrap(arguments) => bootstrap::run(context, &arguments),
        Command::Status(arguments) => status::run(context, &arguments),
        Command::Report(arguments) => report::run(context, &arguments),
        Command::Cancel(arguments) => cancel::run(context, &arguments),
        Command::Rollback(arguments) => rollback::run(context, &arguments),
        Command::Reset(arguments) => reset::run(context, &arguments),
        Command::Graph(arguments) => graph::run(context, &arguments),
        Command::Eject(arguments) => eject::run(context, &arguments),
        Command::Secrets(arguments) => secrets::run(context, &arguments),
        Command::Plugins(arguments) => plugins::run(context, &arguments),
        Command::UpdateVersions(arguments) => update_versions::run(context, &arguments),
        Command::Vacuum(arguments) => vacuum::run(context, &arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Version(arguments) => version::run(context, &arguments),
        Command::Completions(arguments) => completions::run(context, &arguments),
    }
}

/// Help and version go to stdout with 0; wrong usage goes to stderr with 2.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done.into(),
        _ => Exit::Invalid.into(),
    }
}

/// Runs what waits for adapters and timers. Ctrl-C and other wishes to end drop it, which ends every process that it started.
pub(crate) fn wait_for<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    wait_for_all_of(until_interrupted(future))
}

/// Runs what listens for signals itself.
pub(crate) fn wait_for_all_of<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("failed to start the runtime").detail(error))?
        .block_on(future)
}

/// Goes on until somebody wishes the program to end.
pub(crate) async fn until_interrupted<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut wishes = interrupt::wishes()?;
    tokio::select! {
        result = future => result,
        Some(wish) = wishes.recv() => Err(Failure::new(
            Exit::Interrupted,
            format!("interrupted by {}; nothing was left half-done", wish.signal),
        )),
    }
}
