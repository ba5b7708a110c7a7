//! The command line: global options, the list of commands, help texts. Parsing only; each command's own options stand in its file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

const AFTER_HELP: &str = "\
Start with `ztc init`; then `ztc render`, `ztc plan` and `ztc bootstrap`.

Exit codes: 0 done, 1 failed, 2 wrong usage or invalid input, 3 differences, degraded (`status`, `bootstrap`) or incomplete (`plugins test`),
4 a tool or adapter is missing, 5 refused for safety, 130 interrupted.";

/// From platform.yaml to a running bare-metal Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "ztc", version, about, after_help = AFTER_HELP, max_term_width = 100, propagate_version = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Directory that holds platform.yaml [default: the current one]
    #[arg(
        short = 'C',
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub(crate) directory: Option<PathBuf>,
    /// Write the result as JSON to stdout
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say nothing but failures, and a key that is trusted from now on
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Show what the program does (-v decisions, -vv details)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// No colour (also: NO_COLOR=1)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_color: bool,
    /// Run adapters without their sandbox, with everything that you may do
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_sandbox: bool,
    /// Write what is said with adapters to FILE, secrets masked, for `ztc plugins replay`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) record: Option<PathBuf>,
}

/// The commands, in the order in which an operator meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask what cluster is wanted and write platform.yaml
    Init(commands::init::Arguments),
    /// Make all artifacts, the pipeline and the lock from platform.yaml
    Render(commands::render::Arguments),
    /// Check platform.yaml, the lock, artifacts, adapters and secrets
    Validate(commands::validate::Arguments),
    /// Show what bootstrap would run, skip and destroy, and why
    Plan(commands::plan::Arguments),
    /// Run the pipeline: bring the cluster up, or go on where it stopped
    Bootstrap(commands::bootstrap::Arguments),
    /// Show the last or the running bootstrap
    Status(commands::status::Arguments),
    /// Tell of a run: a page for the browser, JSON, JUnit or Markdown
    Report(commands::report::Arguments),
    /// End a running bootstrap as Ctrl-C would, from another terminal
    Cancel(commands::cancel::Arguments),
    /// Undo what ran behind a stage, with the stages' rollback scripts
    Rollback(commands::rollback::Arguments),
    /// Forget what succeeded, so that it runs again
    Reset(commands::reset::Arguments),
    /// Draw the capability graph and the stages
    Graph(commands::graph::Arguments),
    /// Write scripts, contexts and a run.sh that work without ztc
    Eject(commands::eject::Arguments),
    /// Make, import, list and check generated secrets
    #[command(subcommand)]
    Secrets(commands::secrets::Arguments),
    /// Install, list and inspect adapters; publish your own
    #[command(subcommand)]
    Plugins(commands::plugins::Arguments),
    /// Fetch newer tables of supported versions for the adapters
    UpdateVersions(commands::update_versions::Arguments),
    /// Remove private directories that a killed run left behind
    Vacuum(commands::vacuum::Arguments),
    /// Check this machine: tools, directories, adapters
    Doctor(commands::doctor::Arguments),
    /// Show the versions of ztc, its protocol and its adapters
    Version(commands::version::Arguments),
    /// Print a completion script for a shell
    Completions(commands::completions::Arguments),
}
