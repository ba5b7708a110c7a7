//! The command line of the lab: the guided demo, a world for tests, and the stand-ins under names of their own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ztc_lab::demo::{self, Demo};
use ztc_lab::faults::{self, Fault};
use ztc_lab::{Options, World, kubectl, line, rescue, say, talosctl, third_party};

/// A whole world on loopback in which ztc brings up a cluster: everything is simulated.
#[derive(Debug, Parser)]
#[command(
    name = "ztc-lab",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    demo: DemoArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a world, print how to reach it as one line of JSON, and keep it up until stdin closes or a signal comes
    World {
        /// Where its files go [must exist]
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Start with all machines in a rescue system that this public key opens
        #[arg(long, value_name = "FILE")]
        in_rescue: Option<PathBuf>,
        #[command(flatten)]
        size: Size,
    },
    /// List the faults that the world can have
    Faults,
    /// Publish an example adapter as its author would: a signed tree in DIR, its key beside it in DIR.key
    Publish {
        /// The tree
        #[arg(value_name = "DIR")]
        tree: PathBuf,
    },
}

#[derive(Debug, Args)]
struct DemoArguments {
    #[command(flatten)]
    size: Size,
    /// Leave the world up at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Let a stage fail, then mend it and go on
    #[arg(long = "break", value_name = "STAGE", value_parser = demo::BREAKS.map(|row| row.0))]
    broken: Option<String>,
    /// Let an installed adapter of somebody else take part (repeatable)
    #[arg(long, value_name = "ADAPTER", value_parser = third_party::ADAPTERS.map(|row| row.0))]
    with: Vec<String>,
}

#[derive(Debug, Args)]
struct Size {
    /// How many machines
    #[arg(long, default_value_t = 3, value_name = "N")]
    nodes: u8,
    /// How many of them are control planes
    #[arg(long, default_value_t = 1, value_name = "N")]
    control_planes: u8,
    /// How many times faster than the real world
    #[arg(long, default_value_t = 40.0, value_name = "X")]
    speed: f64,
    /// Something that goes wrong; may be given several times (`ztc-lab faults` lists them)
    #[arg(long = "fault", value_name = "NAME[=N]", value_parser = faults::parse)]
    faults: Vec<(Fault, u32)>,
}

impl Size {
    fn options(self, directory: PathBuf) -> std::io::Result<Options> {
        let Self {
            nodes,
            control_planes,
            speed,
            faults,
        } = self;
        Ok(Options {
            directory,
            nodes,
            control_planes,
            speed,
            faults,
            in_rescue: None,
            executable: std::env::current_exe()?,
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // Stand-ins are started often and by scripts: they come before everything else.
    match words.get(1).map(String::as_str) {
        Some("__rescue") => return rescue::run(&words[2..]).into(),
        Some("__talosctl") => return talosctl::run(&words[2..]).into(),
        Some("__kubectl") => return kubectl::run(&words[2..]).into(),
        _ => {}
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(problem) => {
            say::error(problem);
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(Cli::parse()));
    // Calls that hang on purpose must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(problem) => {
            say::error(format_args!("ztc-lab: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match cli.command {
        Some(Command::Faults) => {
            for (_, name, count, text) in faults::TABLE {
                let count = if count == faults::ALWAYS {
                    "until cleared".into()
                } else {
                    format!("N = {count}")
                };
                say::line(format_args!("{name:20} {text} ({count})"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Publish { tree }) => Ok(code(
            third_party::publish(&tree, &std::env::current_exe()?).await?,
        )),
        Some(Command::World {
            dir,
            in_rescue,
            size,
        }) => {
            let key = in_rescue.map(std::fs::read_to_string).transpose()?;
            let world = World::start(Options {
                in_rescue: key.map(|key| key.trim().to_owned()),
                ..size.options(dir)?
            })
            .await?;
            say::line(line(world.info()));
            demo::wait_for_the_end(true).await;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let DemoArguments {
                size,
                keep,
                broken,
                with,
            } = cli.demo;
            let directory = tempfile::Builder::new()
                .prefix("ztc-lab-")
                .tempdir()?
                .keep();
            let demo = Demo {
                options: size.options(directory)?,
                keep,
                broken,
                with,
            };
            Ok(code(demo.run().await?))
        }
    }
}

fn code(good: bool) -> ExitCode {
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
