//! The stand-in for `talosctl`: reads its command line and files as the real one does and asks the world. Knows nothing of the nodes itself.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use serde_json::Value;

use crate::machine_config::{documents, string};
use crate::wire::{Credentials, Reply, TalosCall, TalosVerb};
use crate::{client, say};

/// The version that it says it has.
const VERSION: &str = "v1.11.5";

#[derive(Debug, Parser)]
#[command(
    name = "talosctl",
    about = "A stand-in for talosctl that talks to the lab",
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
    #[arg(short, long, global = true, value_delimiter = ',')]
    nodes: Vec<String>,
    #[arg(short, long, global = true, value_delimiter = ',')]
    endpoints: Vec<String>,
    #[arg(long, global = true, env = "TALOSCONFIG")]
    talosconfig: Option<PathBuf>,
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Version {
        #[arg(long)]
        client: bool,
        #[arg(long)]
        short: bool,
    },
    #[command(alias = "apply")]
    ApplyConfig {
        #[arg(short, long)]
        insecure: bool,
        #[arg(short, long)]
        file: PathBuf,
        #[arg(short, long)]
        mode: Option<String>,
        #[arg(long)]
        cert_fingerprint: Vec<String>,
    },
    Bootstrap,
    Kubeconfig {
        path: Option<PathBuf>,
        #[arg(short, long)]
        force: bool,
        #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
        merge: bool,
    },
    Service {
        id: String,
    },
    #[command(alias = "ls")]
    List {
        path: String,
    },
    Get {
        resource: String,
        id: Option<String>,
        #[arg(short, long)]
        insecure: bool,
        #[arg(short, long)]
        output: Option<String>,
    },
}

/// Runs it: the control address, then the arguments. Returns the exit code.
pub fn run(words: &[String]) -> u8 {
    let [control, arguments @ ..] = words else {
        return 2;
    };
    let parsed = Cli::try_parse_from(std::iter::once(&"talosctl".to_owned()).chain(arguments));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(problem) => {
            say::error(problem);
            return 2;
        }
    };
    match execute(control, &cli) {
        Ok(()) => 0,
        Err(problem) => {
            say::error(problem);
            1
        }
    }
}

fn execute(control: &str, cli: &Cli) -> Result<(), String> {
    match &cli.command {
        Command::Version {
            client: true,
            short,
        } => {
            say::line(if *short {
                format!("Client {VERSION}")
            } else {
                format!("Client:\n\tTag:         {VERSION} (the lab's stand-in)")
            });
            Ok(())
        }
        Command::Version { short, .. } => {
            say::line(if *short {
                format!("Client {VERSION}")
            } else {
                format!("Client:\n\tTag:         {VERSION}")
            });
            each(control, cli, false, &TalosVerb::Version, |reply| {
                say::out(&reply.stdout);
            })
        }
        Command::ApplyConfig { insecure, file, .. } => {
            let text = std::fs::read_to_string(file).map_err(|problem| {
                format!(
                    "failed to read configuration from {}: {problem}",
                    file.display()
                )
            })?;
            each(control, cli, *insecure, &TalosVerb::Apply(text), |reply| {
                say::error(&reply.stderr);
            })
        }
        Command::Bootstrap => each(control, cli, false, &TalosVerb::Bootstrap, |_| {}),
        Command::Kubeconfig { path, force, merge } => {
            kubeconfig(control, cli, path.clone(), *force, *merge)
        }
        Command::Service { id } if id == "etcd" => {
            each(control, cli, false, &TalosVerb::Etcd, |reply| {
                say::out(&reply.stdout);
            })
        }
        Command::Service { id } => Err(format!(
            "the lab's stand-in knows `service etcd`, not `service {id}`"
        )),
        Command::List { path } if path == "/var/lib/etcd" => {
            each(control, cli, false, &TalosVerb::EtcdFiles, |reply| {
                say::out(&reply.stdout);
            })
        }
        Command::List { path } => Err(format!(
            "the lab's stand-in knows `list /var/lib/etcd`, not `list {path}`"
        )),
        Command::Get {
            resource,
            insecure,
            output,
            ..
        } => get(control, cli, resource, *insecure, output.as_deref()),
    }
}

/// Asks every node; the first refusal ends it.
fn each(
    control: &str,
    cli: &Cli,
    insecure: bool,
    verb: &TalosVerb,
    mut show: impl FnMut(&Reply),
) -> Result<(), String> {
    let (nodes, credentials) = target(cli, insecure)?;
    for node in nodes {
        let call = TalosCall {
            node,
            insecure,
            credentials: credentials.clone(),
            verb: verb.clone(),
        };
        let reply: Reply = client::post(&format!("{control}/talosctl"), &call)?;
        if reply.code != 0 {
            return Err(reply.stderr);
        }
        show(&reply);
    }
    Ok(())
}

/// The nodes that are meant, and the certificate that is shown.
fn target(cli: &Cli, insecure: bool) -> Result<(Vec<String>, Option<Credentials>), String> {
    let context = if insecure { None } else { Some(context(cli)?) };
    let mut nodes = cli.global.nodes.clone();
    if let (Some(context), true) = (&context, nodes.is_empty()) {
        nodes = context
            .get("nodes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
    }
    if nodes.is_empty() {
        return Err("nodes are not set for the command: please use `--nodes` flag or configuration file to set the nodes to run the command against".into());
    }
    let Some(context) = context else {
        return Ok((nodes, None));
    };
    let listed = context
        .get("endpoints")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if cli.global.endpoints.is_empty() && !listed {
        return Err("failed to determine endpoints".into());
    }
    let credentials = Credentials {
        ca: string(&context, "/ca"),
        crt: string(&context, "/crt"),
        key: string(&context, "/key"),
    };
    Ok((nodes, Some(credentials)))
}

fn context(cli: &Cli) -> Result<Value, String> {
    let path = cli
        .global
        .talosconfig
        .as_ref()
        .ok_or("talos config file is empty: name one with --talosconfig")?;
    let text = std::fs::read_to_string(path).map_err(|problem| {
        format!(
            "failed to open config file \"{}\": {problem}",
            path.display()
        )
    })?;
    let config = documents(&text)?.into_iter().next().unwrap_or_default();
    let name = cli
        .global
        .context
        .clone()
        .unwrap_or_else(|| string(&config, "/context"));
    config
        .get("contexts")
        .and_then(|contexts| contexts.get(&name))
        .cloned()
        .ok_or_else(|| format!("context \"{name}\" is not defined"))
}

fn kubeconfig(
    control: &str,
    cli: &Cli,
    path: Option<PathBuf>,
    force: bool,
    merge: bool,
) -> Result<(), String> {
    let path = path.filter(|_| !merge).ok_or(
        "the lab's stand-in only writes a file of its own: talosctl kubeconfig PATH --merge=false",
    )?;
    let path = if path.is_dir() {
        path.join("kubeconfig")
    } else {
        path
    };
    if path.exists() && !force {
        return Err(format!(
            "kubeconfig file already exists, use --force to overwrite: \"{}\"",
            path.display()
        ));
    }
    let mut text = String::new();
    each(control, cli, false, &TalosVerb::Kubeconfig, |reply| {
        text.clone_from(&reply.stdout);
    })?;
    write_private(&path, &text)
        .map_err(|problem| format!("failed to write {}: {problem}", path.display()))
}

fn write_private(path: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn get(
    control: &str,
    cli: &Cli,
    resource: &str,
    insecure: bool,
    output: Option<&str>,
) -> Result<(), String> {
    let verb = match resource {
        "disks" | "disk" => TalosVerb::Disks,
        "machinestatus" | "machinestatuses" => TalosVerb::Stage,
        "machinetype" | "machinetypes" => TalosVerb::Role,
        "kubeletspec" | "kubeletspecs" => TalosVerb::Kubelet,
        other => {
            return Err(format!(
                "the lab's stand-in knows `get disks`, `get machinestatus`, `get machinetype` and `get kubeletspec`, not `get {other}`"
            ));
        }
    };
    match (&verb, output) {
        (TalosVerb::Disks, None | Some("table")) => each(control, cli, insecure, &verb, |reply| {
            say::out(&reply.stdout);
        }),
        (TalosVerb::Stage, Some("jsonpath={.spec.stage}" | "jsonpath='{.spec.stage}'")) => {
            each(control, cli, insecure, &verb, |reply| {
                say::line(&reply.stdout);
            })
        }
        (TalosVerb::Role, Some("jsonpath={.spec}" | "jsonpath='{.spec}'"))
        | (TalosVerb::Kubelet, Some("jsonpath={.spec.image}" | "jsonpath='{.spec.image}'")) => {
            each(control, cli, insecure, &verb, |reply| {
                say::line(&reply.stdout);
            })
        }
        (TalosVerb::Role, None | Some("table")) => {
            say::line("NODE   NAMESPACE   TYPE          ID             VERSION   TYPE");
            each(control, cli, insecure, &verb, |reply| {
                say::line(format_args!(
                    "       config      MachineType   machine-type   2         {}",
                    reply.stdout
                ));
            })
        }
        (TalosVerb::Stage, None | Some("table")) => {
            say::line("NODE   NAMESPACE   TYPE            ID        VERSION   STAGE   READY");
            each(control, cli, insecure, &verb, |reply| {
                say::line(format_args!(
                    "       runtime     MachineStatus   machine   1         {}   true",
                    reply.stdout
                ));
            })
        }
        (_, Some(other)) => Err(format!(
            "the lab's stand-in does not know `-o {other}` here"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(text: &str) -> Cli {
        Cli::try_parse_from(std::iter::once("talosctl").chain(text.split(' '))).unwrap()
    }

    #[test]
    fn flags_stand_before_and_after_the_command() {
        let first = cli("-n 1.1.1.1 -e 2.2.2.2 --talosconfig t kubeconfig k --force --merge=false");
        let second =
            cli("kubeconfig k --force --merge=false -n 1.1.1.1 -e 2.2.2.2 --talosconfig t");
        for cli in [first, second] {
            assert_eq!(
                (cli.global.nodes.as_slice(), cli.global.talosconfig),
                (["1.1.1.1".to_owned()].as_slice(), Some("t".into()))
            );
            assert!(matches!(
                cli.command,
                Command::Kubeconfig {
                    force: true,
                    merge: false,
                    ..
                }
            ));
        }
        assert!(matches!(
            cli("apply-config --insecure -n 1.1.1.1 -f x.yaml").command,
            Command::ApplyConfig { insecure: true, .. }
        ));
        assert!(matches!(
            cli("get machinestatus -n 1.1.1.1 -o jsonpath={.spec.stage}").command,
            Command::Get { .. }
        ));
    }

    #[test]
    fn endpoints_and_nodes_come_from_the_talosconfig() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("talosconfig");
        let text = "context: a\ncontexts:\n  a: {endpoints: [127.42.0.11], nodes: [127.42.0.12], ca: Y2E=, crt: Y3J0, key: a2V5}\n  b: {endpoints: [], ca: x, crt: y, key: z}\n";
        std::fs::write(&path, text).unwrap();
        let credentials = Credentials {
            ca: "Y2E=".into(),
            crt: "Y3J0".into(),
            key: "a2V5".into(),
        };
        let path = path.display();
        assert_eq!(
            target(&cli(&format!("bootstrap --talosconfig {path}")), false),
            Ok((vec!["127.42.0.12".into()], Some(credentials)))
        );
        assert_eq!(
            target(
                &cli(&format!(
                    "bootstrap --talosconfig {path} --context b -n 127.42.0.11"
                )),
                false
            ),
            Err("failed to determine endpoints".into())
        );
        assert_eq!(
            target(
                &cli(&format!("bootstrap --talosconfig {path} --context c")),
                false
            ),
            Err("context \"c\" is not defined".into())
        );
    }
}
