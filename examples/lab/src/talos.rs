//! The Talos API of the simulated nodes: what it does and what it refuses, in the real tool's words. No network, no files.

use crate::faults::Fault;
use crate::machine_config::{self, MachineConfig, Role};
use crate::node::{Applied, Node, Power};
use crate::state::State;
use crate::wire::{Credentials, Reply, TalosCall, TalosVerb};

/// Whether the caller ever hears the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It does.
    Now(Reply),
    /// It does not: the connection hangs.
    Never,
}

/// Answers a call.
pub(crate) fn answer(state: &mut State, call: &TalosCall) -> Answer {
    if let TalosVerb::Apply(text) = &call.verb {
        return apply(state, call, text);
    }
    let reply = match &call.verb {
        TalosVerb::Version => version(state, call),
        TalosVerb::Bootstrap => bootstrap(state, call),
        TalosVerb::Kubeconfig => kubeconfig(state, call),
        TalosVerb::Disks => disks(state, call),
        TalosVerb::Stage => stage(state, call),
        TalosVerb::Role => role(state, call),
        TalosVerb::Kubelet => kubelet(state, call),
        TalosVerb::Etcd => etcd(state, call),
        TalosVerb::EtcdFiles => etcd_files(state, call),
        TalosVerb::Apply(_) => unreachable!("handled above"),
    };
    Answer::Now(reply.unwrap_or_else(Reply::failed))
}

/// A failed dial, in the words of the client's RPC library.
fn unavailable(reason: &str) -> String {
    format!("rpc error: code = Unavailable desc = connection error: desc = \"{reason}\"")
}

/// The node, if something listens on its port 50000.
fn dial<'a>(state: &'a State, call: &TalosCall) -> Result<&'a Node, String> {
    let address = format!("{}:50000", call.node);
    let Some(node) = state.node_at(&call.node) else {
        return Err(unavailable(&format!(
            "transport: Error while dialing: dial tcp {address}: connect: no route to host"
        )));
    };
    match node.talos() {
        Some(_) => Ok(node),
        None if node.power == Power::Off => Err(unavailable(&format!(
            "transport: Error while dialing: dial tcp {address}: i/o timeout"
        ))),
        None => Err(unavailable(&format!(
            "transport: Error while dialing: dial tcp {address}: connect: connection refused"
        ))),
    }
}

/// The node and its configuration, if the caller may talk to it as an administrator.
fn authenticate<'a>(
    state: &'a State,
    call: &TalosCall,
) -> Result<(&'a Node, &'a MachineConfig), String> {
    let node = dial(state, call)?;
    if call.insecure {
        return Err(match node.applied {
            Some(_) => {
                unavailable("error reading server preface: remote error: tls: certificate required")
            }
            None => {
                "rpc error: code = Unimplemented desc = API is not implemented in maintenance mode"
                    .into()
            }
        });
    }
    let Some(Credentials { ca, crt, key }) = &call.credentials else {
        return Err("failed to determine endpoints: no talosconfig".into());
    };
    let unknown = || {
        unavailable(
            "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        )
    };
    let Some(applied) = &node.applied else {
        return Err(unknown());
    };
    if *ca != applied.config.machine_ca {
        return Err(unknown());
    }
    if crt.is_empty()
        || key.is_empty()
        || [ca, crt, key]
            .iter()
            .any(|part| part.contains("ztc-secret:"))
    {
        return Err("failed to load client certificate: tls: failed to find any PEM data in certificate input".into());
    }
    if node.configured(state.now, state.timing).is_none() {
        return Err(unavailable(&format!(
            "transport: Error while dialing: dial tcp {}:50000: connect: connection refused",
            call.node
        )));
    }
    Ok((node, &applied.config))
}

fn version(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (node, _) = authenticate(state, call)?;
    let tag = node.talos().map_or("", |image| &image.version);
    Ok(Reply::said(format!(
        "Server:\n\tNODE:        {}\n\tTag:         {tag}\n",
        node.ip
    )))
}

fn apply(state: &mut State, call: &TalosCall, text: &str) -> Answer {
    match check_apply(state, call, text) {
        Err(reason) => Answer::Now(Reply::failed(format!(
            "error applying new configuration: {reason}"
        ))),
        Ok(config) => {
            let now = state.now;
            let hangs = state.faults.take(Fault::ApplyHangs);
            let soon = now + state.timing.reboot();
            let mut reboots = false;
            if let Some(node) = state.node_at_mut(&call.node) {
                let at = node.applied.as_ref().map_or(now, |applied| applied.at);
                let known = node.applied.take();
                reboots = known.is_some_and(|known| known.config.at_boot != config.at_boot);
                node.applied = Some(Applied { config, at });
                if reboots {
                    node.restart_soon(soon);
                }
            }
            if reboots {
                state.note_lost_majority(&call.node);
            }
            if hangs {
                return Answer::Never;
            }
            Answer::Now(Reply {
                stderr: match reboots {
                    true => "Applied configuration with a reboot".into(),
                    false => "Applied configuration without a reboot".into(),
                },
                ..Reply::default()
            })
        }
    }
}

fn check_apply(state: &mut State, call: &TalosCall, text: &str) -> Result<MachineConfig, String> {
    let known = if call.insecure {
        let node = dial(state, call)?;
        if node.applied.is_some() {
            return Err(unavailable(
                "error reading server preface: remote error: tls: certificate required",
            ));
        }
        None
    } else {
        Some(authenticate(state, call)?.1.clone())
    };
    let invalid = |problems: &[String]| {
        let noun = if problems.len() == 1 {
            "error"
        } else {
            "errors"
        };
        let lines: String = problems
            .iter()
            .map(|problem| format!("\n\t* {problem}"))
            .collect();
        format!(
            "rpc error: code = InvalidArgument desc = configuration validation failed: {} {noun} occurred:{lines}",
            problems.len()
        )
    };
    let config = machine_config::parse(text).map_err(|problems| invalid(&problems))?;
    let refused = match config.role {
        Role::ControlPlane => Fault::ApplyRefused,
        Role::Worker => Fault::WorkerRefused,
    };
    if state.faults.take(refused) {
        return Err(invalid(&[
            "simulated: the node does not like this configuration".into(),
        ]));
    }
    if known.is_some_and(|known| known.role != config.role) {
        return Err(invalid(&["simulated: the real node would take this and break; the lab refuses to change a node's type".into()]));
    }
    Ok(config)
}

fn bootstrap(state: &mut State, call: &TalosCall) -> Result<Reply, String> {
    let role = authenticate(state, call)
        .map_err(|reason| format!("error executing bootstrap: {reason}"))?
        .1
        .role;
    let failed = |code: &str, text: &str| {
        Err(format!(
            "error executing bootstrap: rpc error: code = {code} desc = {text}"
        ))
    };
    if role == Role::Worker {
        return failed(
            "FailedPrecondition",
            "bootstrap can only be performed on a control plane node",
        );
    }
    if state.faults.take(Fault::BootstrapRefused) {
        return failed("PermissionDenied", "not authorized");
    }
    // A node knows its own disk and nothing of others.
    if state.node_at(&call.node).is_some_and(|node| node.etcd) {
        return failed("AlreadyExists", "etcd data directory is not empty");
    }
    if state.faults.take(Fault::BootstrapEarly) {
        return failed("FailedPrecondition", "bootstrap is not available yet");
    }
    let late = state.faults.has(Fault::CrdsLate);
    if !state.begin_second_cluster(&call.node) {
        state.begin_cluster(&call.node, late);
    }
    Ok(Reply::default())
}

fn kubeconfig(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (_, config) = authenticate(state, call)?;
    if config.role == Role::Worker {
        return Err("rpc error: code = Unimplemented desc = kubeconfig is only available on control plane nodes".into());
    }
    let (name, endpoint, ca) = (&config.cluster_name, &config.endpoint, &config.cluster_ca);
    // The lab has no API server to log in to, so this certificate is a word, not a certificate.
    let made_up = "c2ltdWxhdGVk";
    Ok(Reply::said(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {endpoint}\n    certificate-authority-data: {ca}\n\
         users:\n- name: admin@{name}\n  user:\n    client-certificate-data: {made_up}\n    client-key-data: {made_up}\n\
         contexts:\n- name: admin@{name}\n  context:\n    cluster: {name}\n    namespace: default\n    user: admin@{name}\ncurrent-context: admin@{name}\n"
    )))
}

fn disks(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let node = dial(state, call)?;
    if call.insecure && node.applied.is_some() {
        return Err(unavailable(
            "error reading server preface: remote error: tls: certificate required",
        ));
    }
    Ok(Reply::said(
        "NODE   NAMESPACE   TYPE   ID    VERSION   SIZE     READ ONLY   TRANSPORT   ROTATIONAL   WWID   MODEL           SERIAL\n\
         \x20      runtime     Disk   sda   1         160 GB   false       virtio      true                QEMU HARDDISK   lab\n",
    ))
}

fn stage(state: &State, call: &TalosCall) -> Result<Reply, String> {
    if call.insecure {
        let node = dial(state, call)?;
        if node.applied.is_none() {
            return Ok(Reply::said("maintenance"));
        }
    }
    let (node, config) = authenticate(state, call)?;
    let running = match config.role {
        Role::ControlPlane => node.etcd,
        Role::Worker => state
            .view()
            .is_some_and(|view| view.members.iter().any(|member| member.node.ip == node.ip)),
    };
    Ok(Reply::said(if running { "running" } else { "booting" }))
}

/// The type by the node's own word, which it says to its administrators only.
fn role(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (_, config) = authenticate(state, call)?;
    Ok(Reply::said(match config.role {
        Role::ControlPlane => "controlplane",
        Role::Worker => "worker",
    }))
}

fn kubelet(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (_, config) = authenticate(state, call)?;
    let version = &config.kubelet_version;
    Ok(Reply::said(format!("ghcr.io/siderolabs/kubelet:{version}")))
}

/// The service, which every control plane has once its disk is there.
fn etcd(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (node, config) = authenticate(state, call)?;
    if config.role == Role::Worker {
        return Err("service \"etcd\" is not registered".into());
    }
    let (service, health, event) = match node.etcd {
        true => ("Running", "OK", "[Running]: Health check successful"),
        false => ("Preparing", "?", "[Preparing]: Running pre state"),
    };
    Ok(Reply::said(format!(
        "NODE     {}\nID       etcd\nSTATE    {service}\nHEALTH   {health}\nEVENTS   {event} (1s ago)\n",
        node.ip
    )))
}

fn etcd_files(state: &State, call: &TalosCall) -> Result<Reply, String> {
    let (node, _) = authenticate(state, call)?;
    let data = match node.etcd {
        true => format!("{}   member\n", node.ip),
        false => String::new(),
    };
    Ok(Reply::said(format!(
        "NODE          NAME\n{}   .\n{data}",
        node.ip
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::configure;
    use crate::image::{Contents, Image};
    use crate::machine_config::tests::sample;
    use crate::state::tests::world;

    fn call(ip: &str, insecure: bool, verb: TalosVerb) -> TalosCall {
        let credentials = Credentials {
            ca: "b3M=".into(),
            crt: "Y3J0".into(),
            key: "a2V5".into(),
        };
        TalosCall {
            node: ip.into(),
            insecure,
            credentials: Some(credentials),
            verb,
        }
    }

    fn ask(state: &mut State, ip: &str, insecure: bool, verb: TalosVerb) -> Reply {
        match answer(state, &call(ip, insecure, verb)) {
            Answer::Now(reply) => reply,
            Answer::Never => panic!("no answer"),
        }
    }

    #[test]
    fn a_configuration_goes_only_to_a_node_in_maintenance_mode() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        let apply = || TalosVerb::Apply(sample("controlplane", "cp01"));
        let refused = ask(&mut state, "127.42.0.11", true, apply());
        assert_eq!(
            refused.stderr,
            "error applying new configuration: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp 127.42.0.11:50000: connect: connection refused\""
        );
        let image = Image {
            version: "v1.11.5".into(),
            schematic: "0".into(),
            architecture: "amd64".into(),
            platform: "hcloud".into(),
        };
        let timing = state.timing;
        state.nodes[0].start(0, timing, Contents::Talos(image), false);
        state.tick(60_000);
        assert_eq!(
            ask(&mut state, "127.42.0.11", true, TalosVerb::Stage),
            Reply::said("maintenance")
        );
        assert_eq!(ask(&mut state, "127.42.0.11", true, apply()).code, 0);
        let again = ask(&mut state, "127.42.0.11", true, apply());
        assert!(
            again
                .stderr
                .ends_with("remote error: tls: certificate required\""),
            "{}",
            again.stderr
        );
    }

    #[test]
    fn bootstrap_happens_once_and_on_a_control_plane() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        configure(&mut state, 1, &sample("worker", "worker01"));
        assert!(
            ask(&mut state, "127.42.0.11", false, TalosVerb::Bootstrap)
                .stderr
                .contains("connection refused")
        );
        state.tick(20_000);
        state.faults.set(Fault::BootstrapEarly, 1);
        let answers: Vec<String> = ["127.42.0.12", "127.42.0.11", "127.42.0.11", "127.42.0.11"]
            .iter()
            .map(|ip| ask(&mut state, ip, false, TalosVerb::Bootstrap).stderr)
            .collect();
        assert_eq!(
            answers,
            [
                "error executing bootstrap: rpc error: code = FailedPrecondition desc = bootstrap can only be performed on a control plane node",
                "error executing bootstrap: rpc error: code = FailedPrecondition desc = bootstrap is not available yet",
                "",
                "error executing bootstrap: rpc error: code = AlreadyExists desc = etcd data directory is not empty",
            ]
        );
    }

    #[test]
    fn a_blank_control_plane_beside_a_cluster_starts_a_second_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        configure(&mut state, 1, &sample("controlplane", "cp02"));
        state.tick(20_000);
        assert_eq!(
            ask(&mut state, "127.42.0.11", false, TalosVerb::Bootstrap).code,
            0
        );
        let files = |state: &mut State| ask(state, "127.42.0.12", false, TalosVerb::EtcdFiles);
        assert!(!files(&mut state).stdout.contains("member"));
        assert_eq!(
            ask(&mut state, "127.42.0.12", false, TalosVerb::Bootstrap).stderr,
            ""
        );
        assert!(files(&mut state).stdout.contains("member"));
        assert_eq!(
            state.violations,
            ["worker01: a second etcd cluster was started beside that of cp01"]
        );
    }

    #[test]
    fn another_authority_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(
            &mut state,
            0,
            &sample("controlplane", "cp01").replace("b3M=", "b3RoZXI="),
        );
        state.tick(20_000);
        let reply = ask(&mut state, "127.42.0.11", false, TalosVerb::Bootstrap);
        assert!(
            reply
                .stderr
                .contains("certificate signed by unknown authority"),
            "{}",
            reply.stderr
        );
    }

    #[test]
    fn a_hanging_apply_has_taken_effect() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        state.nodes[0].applied = None;
        state.faults.set(Fault::ApplyHangs, 1);
        let verb = TalosVerb::Apply(sample("controlplane", "cp01"));
        assert_eq!(
            answer(&mut state, &call("127.42.0.11", true, verb)),
            Answer::Never
        );
        assert!(state.nodes[0].applied.is_some());
    }
}
