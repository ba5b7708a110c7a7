//! The stand-in for `kubectl`: reads its command line and kubeconfig as the real one does, asks the world and prints. Knows nothing of the cluster itself.

mod print;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::machine_config::{documents, string};
use crate::wire::{KubeCall, KubeVerb, Reply};
use crate::{client, objects, say};

/// The version that it says it has.
const VERSION: &str = "v1.33.4";
/// Between two looks at a rollout.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Parser)]
#[command(
    name = "kubectl",
    about = "A stand-in for kubectl that talks to the lab",
    disable_version_flag = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    #[arg(long, global = true, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    #[arg(short, long, global = true, default_value = "default")]
    namespace: String,
    /// Accepted; the world answers at once or not at all.
    #[arg(long, global = true)]
    request_timeout: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Version {
        #[arg(long)]
        client: bool,
        #[arg(short, long)]
        output: Option<String>,
    },
    Get(Get),
    Apply(Given),
    Diff(Given),
    #[command(subcommand)]
    Rollout(Rollout),
}

#[derive(Debug, Args)]
struct Get {
    #[arg(long)]
    raw: Option<String>,
    words: Vec<String>,
    #[arg(short, long)]
    output: Option<String>,
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[arg(long)]
    ignore_not_found: bool,
}

#[derive(Debug, Args)]
struct Given {
    /// `-`: standard input.
    #[arg(short, long)]
    filename: PathBuf,
    #[arg(long)]
    server_side: bool,
}

#[derive(Debug, Subcommand)]
enum Rollout {
    Status {
        words: Vec<String>,
        #[arg(long, default_value = "0s")]
        timeout: String,
        #[arg(short, long)]
        watch: Option<bool>,
    },
    Restart {
        words: Vec<String>,
    },
}

/// Runs it: the control address, then the arguments. Returns the exit code.
pub fn run(words: &[String]) -> u8 {
    let [control, arguments @ ..] = words else {
        return 2;
    };
    let parsed = Cli::try_parse_from(std::iter::once(&"kubectl".to_owned()).chain(arguments));
    let ended = match parsed {
        Ok(cli) => execute(control, &cli),
        Err(problem) => Err(problem.to_string()),
    };
    match ended {
        Ok(code) => code,
        Err(problem) => {
            say::error(problem);
            1
        }
    }
}

/// Does it and returns the exit code, of which `diff` has a meaning of its own.
fn execute(control: &str, cli: &Cli) -> Result<u8, String> {
    let done = match &cli.command {
        Command::Version {
            client: true,
            output,
        } => {
            version(output.as_deref());
            Ok(())
        }
        Command::Version { .. } => Err("the lab's stand-in knows only `version --client`".into()),
        Command::Get(Get {
            raw: Some(path), ..
        }) if path.trim_start_matches('/').split('?').next() != Some("readyz") => Err(format!(
            "the lab's stand-in knows only `get --raw /readyz`, not `{path}`"
        )),
        Command::Get(Get { raw: Some(_), .. }) => {
            say::out(ask(control, cli, KubeVerb::Ready)?);
            Ok(())
        }
        Command::Get(get) => show(control, cli, get),
        Command::Apply(given) => {
            let objects = given.objects()?;
            let file = given.filename.display().to_string();
            let reply = answer(control, cli, KubeVerb::Apply { objects, file })?;
            return Ok(print(&reply));
        }
        Command::Diff(given) => {
            let objects = given.objects()?;
            let reply = answer(control, cli, KubeVerb::Diff { objects })?;
            return Ok(print(&reply));
        }
        Command::Rollout(Rollout::Status { words, timeout, .. }) => {
            wait(control, cli, words, timeout)
        }
        Command::Rollout(Rollout::Restart { words }) => {
            if targets(words)? != [("Deployment", Some("cilium-operator".to_owned()))] {
                return Err("the lab's stand-in restarts only `deployment/cilium-operator`".into());
            }
            say::line(ask(control, cli, KubeVerb::RestartOperator)?);
            Ok(())
        }
    };
    done.map(|()| 0)
}

/// Prints a whole reply.
fn print(reply: &Reply) -> u8 {
    if !reply.stdout.is_empty() {
        say::line(reply.stdout.trim_end());
    }
    if !reply.stderr.is_empty() {
        say::error(&reply.stderr);
    }
    reply.code
}

impl Given {
    fn objects(&self) -> Result<Vec<Value>, String> {
        let text = match self.filename.as_os_str() == "-" {
            true => std::io::read_to_string(std::io::stdin()).map_err(|error| error.to_string())?,
            false => std::fs::read_to_string(&self.filename).map_err(|_| {
                format!(
                    "error: the path \"{}\" does not exist",
                    self.filename.display()
                )
            })?,
        };
        documents(&text)
    }
}

fn version(output: Option<&str>) {
    if output == Some("json") {
        let version = json!({"clientVersion": {"major": "1", "minor": "33", "gitVersion": VERSION}, "kustomizeVersion": "v5.6.0"});
        say::line(format_args!("{version:#}"));
    } else {
        say::line(format_args!(
            "Client Version: {VERSION}\nKustomize Version: v5.6.0"
        ));
    }
}

fn answer(control: &str, cli: &Cli, verb: KubeVerb) -> Result<Reply, String> {
    let (server, ca) = kubeconfig(cli)?;
    client::post(
        &format!("{control}/kubectl"),
        &KubeCall { server, ca, verb },
    )
}

fn ask(control: &str, cli: &Cli, verb: KubeVerb) -> Result<String, String> {
    let reply = answer(control, cli, verb)?;
    if reply.code == 0 {
        Ok(reply.stdout)
    } else {
        Err(reply.stderr)
    }
}

/// The server and its authority.
fn kubeconfig(cli: &Cli) -> Result<(String, String), String> {
    let Some(path) = &cli.global.kubeconfig else {
        return Err("The connection to the server localhost:8080 was refused - did you specify the right host or port?".into());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|_| format!("error: stat {}: no such file or directory", path.display()))?;
    let config = documents(&text)?.into_iter().next().unwrap_or_default();
    if string(&config, "/users/0/user/client-certificate-data").is_empty() {
        return Err("error: You must be logged in to the server (Unauthorized)".into());
    }
    Ok((
        string(&config, "/clusters/0/cluster/server"),
        string(&config, "/clusters/0/cluster/certificate-authority-data"),
    ))
}

/// Kinds with the names that are asked for; `None`: all.
fn targets(words: &[String]) -> Result<Vec<(&'static str, Option<String>)>, String> {
    let unknown = |word: &str| format!("error: the server doesn't have a resource type \"{word}\"");
    let known = |word: &str| objects::kind(word).ok_or_else(|| unknown(word));
    if words.iter().any(|word| word.contains('/')) {
        let pair = |word: &String| {
            let (kind, name) = word.split_once('/').ok_or("error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form")?;
            Ok((known(kind)?, Some(name.to_owned())))
        };
        return words.iter().map(pair).collect();
    }
    let [kinds, names @ ..] = words else {
        return Err("error: You must specify the type of resource to get.".into());
    };
    let mut found = Vec::new();
    for kind in kinds.split(',') {
        let kind = known(kind)?;
        if names.is_empty() {
            found.push((kind, None));
        }
        found.extend(names.iter().map(|name| (kind, Some(name.clone()))));
    }
    Ok(found)
}

/// Fetches what is asked for: the objects, and the errors about those that are not there.
fn fetch(
    control: &str,
    cli: &Cli,
    targets: &[(&'static str, Option<String>)],
    all: bool,
) -> Result<(Vec<Value>, Vec<String>), String> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (kind, name) in targets {
        let namespace = if all {
            String::new()
        } else {
            cli.global.namespace.clone()
        };
        let text = ask(
            control,
            cli,
            KubeVerb::Get {
                kinds: vec![(*kind).into()],
                namespace,
            },
        )?;
        let items: Vec<Value> =
            serde_json::from_str(&text).map_err(|problem| problem.to_string())?;
        let before = found.len();
        found.extend(items.into_iter().filter(|item| {
            name.as_ref()
                .is_none_or(|name| item.pointer("/metadata/name") == Some(&json!(name)))
        }));
        if let Some(name) = name.as_ref().filter(|_| found.len() == before) {
            missing.push(format!(
                "Error from server (NotFound): {} \"{name}\" not found",
                objects::resource(kind)
            ));
        }
    }
    Ok((found, missing))
}

fn show(control: &str, cli: &Cli, get: &Get) -> Result<(), String> {
    let targets = targets(&get.words)?;
    let (mut found, missing) = fetch(control, cli, &targets, get.all_namespaces)?;
    if let Some(selector) = &get.selector {
        found.retain(|item| print::matches(item, selector));
    }
    let single = matches!(targets.as_slice(), [(_, Some(_))]);
    let missing = if get.ignore_not_found {
        Vec::new()
    } else {
        missing
    };
    if !(single && found.is_empty()) {
        print::objects(found, single, get.output.as_deref())?;
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("\n"))
    }
}

fn wait(control: &str, cli: &Cli, words: &[String], timeout: &str) -> Result<(), String> {
    let targets = targets(words)?;
    let limit = print::duration(timeout)?;
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        let (found, missing) = fetch(control, cli, &targets, false)?;
        if !missing.is_empty() {
            return Err(missing.join("\n"));
        }
        let states: Vec<(bool, String)> = found.iter().map(print::rollout).collect();
        let text: Vec<&str> = states.iter().map(|state| state.1.as_str()).collect();
        if text.join("\n") != said {
            said = text.join("\n");
            say::line(&said);
        }
        if states.iter().all(|state| state.0) {
            return Ok(());
        }
        if !limit.is_zero() && begun.elapsed() >= limit {
            return Err("error: timed out waiting for the condition".into());
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn objects_are_named_in_every_form() {
        let cilium = || Some("cilium".to_owned());
        assert_eq!(
            targets(&words("ds,deployment")),
            Ok(vec![("DaemonSet", None), ("Deployment", None)])
        );
        assert_eq!(
            targets(&words("daemonset cilium")),
            Ok(vec![("DaemonSet", cilium())])
        );
        assert_eq!(
            targets(&words("ds/cilium gatewayclass/cilium")),
            Ok(vec![("DaemonSet", cilium()), ("GatewayClass", cilium())])
        );
        assert_eq!(
            targets(&words("secrets")),
            Err("error: the server doesn't have a resource type \"secrets\"".into())
        );
    }

    #[test]
    fn flags_stand_before_and_after_the_command() {
        for text in [
            "--kubeconfig k get nodes -o json -n kube-system",
            "get nodes --kubeconfig k -n kube-system -o json",
        ] {
            let cli =
                Cli::try_parse_from(std::iter::once("kubectl").chain(text.split(' '))).unwrap();
            assert_eq!(
                (cli.global.kubeconfig, cli.global.namespace.as_str()),
                (Some("k".into()), "kube-system")
            );
        }
    }
}
