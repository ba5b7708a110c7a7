//! The guided demo: starts a world, runs the real `ztc` in it command by command, and says how it went. Knows `ztc` only by its command line.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::faults::{ALWAYS, Fault};
use crate::world::{Info, Options, World, WorldError};
use crate::{process, say, third_party};

/// Stages that can be broken, and the fault that does it.
pub const BREAKS: [(&str, Fault); 6] = [
    ("check_servers", Fault::ReadonlyToken),
    ("enable_rescue_mode", Fault::RescueNotEntered),
    ("install_talos", Fault::ImageMissing),
    ("apply_control_plane", Fault::ApplyRefused),
    ("bootstrap_talos", Fault::BootstrapRefused),
    ("add_worker_nodes", Fault::WorkerRefused),
];

/// How long nodes that ztc has left may take to be seen ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Debug)]
pub struct Demo {
    /// The world.
    pub options: Options,
    /// Whether the world stays up at the end.
    pub keep: bool,
    /// The stage that fails at first.
    pub broken: Option<String>,
    /// Adapters of others that take part.
    pub with: Vec<String>,
}

/// Why the demo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The world does not start.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A program does not start.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// Which one.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// `ztc` is not there and cannot be built.
    #[error("`{0}` is missing; build it with `cargo build --release -p ztc --bin ztc`")]
    NoZtc(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program that the world needs is not there.
    #[error("`{0}` is not on PATH; the lab needs bash, curl and ssh: install it")]
    NoTool(&'static str),
}

impl Demo {
    /// Shows it; whether every node is ready at the end.
    pub async fn run(self) -> Result<bool, DemoError> {
        for tool in ["bash", "curl", "ssh", "ssh-keygen"] {
            process::find(tool).ok_or(DemoError::NoTool(tool))?;
        }
        introduce(&self.options);
        let ztc = find_ztc(&self.options.executable).await?;
        let world = World::start(self.options).await?;
        let stage = Stage::new(world.info(), &ztc);
        if !stage.guests(&self.with).await? {
            tidy(world);
            return Ok(false);
        }
        let begun = Instant::now();
        let finished = stage.show(&world, self.broken.as_deref()).await?;
        let ready = if finished {
            wait_until_ready(&world).await
        } else {
            world.ready()
        };
        let good = finished && ready.len() == world.info().nodes.len();
        conclude(&world, &ready, good, begun.elapsed());
        if self.keep {
            explain(world.info(), &ztc);
            wait_for_the_end(false).await;
        }
        tidy(world);
        Ok(good)
    }
}

fn introduce(options: &Options) {
    say::heading("The ztc lab: everything here is simulated, on loopback.");
    say::remark(&format!(
        "{} machines that do not exist, a cloud that costs nothing, disks that are files. The ztc commands are the real ones.",
        options.nodes
    ));
    say::remark("In the real world this takes about ten minutes; here time passes faster.");
}

/// Where the commands run.
struct Stage<'a> {
    info: &'a Info,
    ztc: &'a Path,
}

impl<'a> Stage<'a> {
    fn new(info: &'a Info, ztc: &'a Path) -> Self {
        Self { info, ztc }
    }

    /// Runs all commands; `false`: one failed that should not have.
    async fn show(&self, world: &World, broken: Option<&str>) -> Result<bool, DemoError> {
        self.git().await?;
        for (why, words) in [
            (
                "Answers instead of a wizard: they become platform.yaml.",
                &["init", "--answers", "answers.yaml"][..],
            ),
            (
                "Keys and tokens of the cluster, made once and kept out of git.",
                &["secrets", "generate", "talos"],
            ),
            (
                "Every file that the cluster is made from, and a lock over all of them.",
                &["render"],
            ),
            ("Is everything as it was rendered?", &["validate"]),
            (
                "What bootstrap would do, and what it would destroy.",
                &["plan"],
            ),
        ] {
            if !self.ztc(why, words).await?.success() {
                return Ok(false);
            }
        }
        let bootstrap = ["bootstrap", "--confirm", self.info.cluster_name.as_str()];
        if let Some((stage, fault)) = BREAKS.iter().find(|row| Some(row.0) == broken) {
            world.set_fault(*fault, ALWAYS);
            let why = format!(
                "Now the real thing. But the lab breaks the stage {stage}: {}.",
                fault.name()
            );
            if self.ztc(&why, &bootstrap).await?.success() {
                say::verdict(false, "bootstrap was to fail, but it did not");
                return Ok(false);
            }
            say::verdict(
                true,
                "It failed, as it was to. The lab takes the fault away; the same command goes on where it stopped.",
            );
            world.clear_faults();
            return Ok(self
                .ztc("What is done is not done again.", &bootstrap)
                .await?
                .success());
        }
        Ok(self.ztc("Now the real thing.", &bootstrap).await?.success())
    }

    /// Makes sure that the adapters of others are installed, and adds their sections to the answers.
    async fn guests(&self, names: &[String]) -> Result<bool, DemoError> {
        for name in names {
            let why = "An adapter of somebody else, installed on this machine: what it is, and what it may touch.";
            if !self.ztc(why, &["plugins", "info", name]).await?.success() {
                say::verdict(
                    false,
                    &format!(
                        "`{name}` has to be installed first: `ztc-lab publish target/tree`, then `ztc plugins install {name} --source target/tree --key target/tree.key.pub`"
                    ),
                );
                return Ok(false);
            }
            let path = self.info.answers.clone();
            let fail = |source| DemoError::File {
                path: path.clone(),
                source,
            };
            let answers = std::fs::read_to_string(&path).map_err(fail)?;
            let section = third_party::section(self.info, name);
            std::fs::write(&path, answers + &section).map_err(fail)?;
        }
        Ok(true)
    }

    /// Makes the directory a repository where there is git; ztc does not need one.
    async fn git(&self) -> Result<(), DemoError> {
        if process::find("git").is_none() {
            return Ok(());
        }
        say::remark(&format!("\nin {}", self.info.repository.display()));
        say::command("git init");
        let mut git = self.command("git");
        git.args(["init", "--quiet"]);
        finish("git", git).await.map(drop)
    }

    async fn ztc(&self, why: &str, words: &[&str]) -> Result<ExitStatus, DemoError> {
        say::heading(why);
        say::command(&format!("ztc {}", words.join(" ")));
        let mut ztc = self.command(self.ztc);
        ztc.args(words);
        finish("ztc", ztc).await
    }

    fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut path = std::ffi::OsString::from(&self.info.bin);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = process::program(name);
        command.current_dir(&self.info.repository).env("PATH", path);
        command
            .env("HCLOUD_ENDPOINT", &self.info.endpoint)
            .env("HCLOUD_TOKEN", &self.info.token);
        // Requests to loopback must not go through the operator's proxy.
        command
            .env("NO_PROXY", "127.0.0.0/8,127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.0/8,127.0.0.1,localhost");
        command
    }
}

/// Runs a command to its end. Ctrl-C is for the command: it decides how it ends, and the demo ends after it.
pub(crate) async fn finish(name: &str, mut command: Command) -> Result<ExitStatus, DemoError> {
    let failed = |source| DemoError::Start {
        program: name.into(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(failed),
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

/// The `ztc` beside this program, built if it is not there.
pub(crate) async fn find_ztc(executable: &Path) -> Result<PathBuf, DemoError> {
    let ztc = executable.with_file_name("ztc");
    if ztc.is_file() {
        return Ok(ztc);
    }
    let mut words = vec!["build", "-p", "ztc", "--bin", "ztc"];
    if !cfg!(debug_assertions) {
        words.insert(1, "--release");
    }
    say::command(&format!("cargo {}", words.join(" ")));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    if process::find("cargo").is_none() || !manifest.is_dir() {
        return Err(DemoError::NoZtc(ztc));
    }
    let mut cargo = process::cargo();
    cargo.args(&words).current_dir(manifest);
    let built = finish("cargo", cargo).await?;
    if built.success() && ztc.is_file() {
        Ok(ztc)
    } else {
        Err(DemoError::NoZtc(ztc))
    }
}

async fn wait_until_ready(world: &World) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let ready = world.ready();
        if ready.len() == world.info().nodes.len() || begun.elapsed() > PATIENCE {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn conclude(world: &World, ready: &[String], good: bool, time: Duration) {
    let info = world.info();
    say::heading("The simulated nodes");
    for node in &info.nodes {
        let state = ready.contains(&node.name);
        say::verdict(
            state,
            &format!(
                "{:10} {:13} {:13} {}",
                node.name,
                node.ip,
                node.role,
                if state { "Ready" } else { "not ready" }
            ),
        );
    }
    let outcome = if good {
        "A cluster from nothing"
    } else {
        "No cluster"
    };
    say::heading(&format!(
        "{outcome}, in {:.1} s. All of it was simulated.",
        time.as_secs_f64()
    ));
    say::line(format_args!(
        "The repository with everything that was made: {}",
        info.repository.display()
    ));
    say::remark(&format!(
        "remove it when you like: rm -r {}",
        info.directory.display()
    ));
}

/// Ends the world and removes what is of no use without it; the repository stays.
fn tidy(world: World) {
    let directory = world.info().directory.clone();
    drop(world);
    for name in ["nodes", "bin", "world.json"] {
        let path = directory.join(name);
        // What cannot be removed stays, which the last lines of the demo have told how to deal with.
        let _ = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
    }
}

fn explain(info: &Info, ztc: &Path) {
    say::heading("The world stays up until Ctrl-C. In another terminal:");
    say::line(format_args!("  cd {}", info.repository.display()));
    say::line(format_args!(
        "  export PATH={}:{}:$PATH",
        info.bin.display(),
        ztc.parent().unwrap_or(Path::new(".")).display()
    ));
    say::line(format_args!(
        "  export HCLOUD_ENDPOINT={} HCLOUD_TOKEN={}",
        info.endpoint, info.token
    ));
    say::line("  kubectl --kubeconfig secrets/lab/kubeconfig get nodes");
    say::line(format_args!("  curl -s {}/state", info.control));
}

/// Waits for Ctrl-C, SIGTERM, or, if asked, the end of standard input.
pub async fn wait_for_the_end(input: bool) {
    let closed = async {
        if !input {
            std::future::pending::<()>().await;
        }
        let mut rest = Vec::new();
        // Whatever is written there does not matter; its end does.
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = closed => {}
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
