//! The Kubernetes API of the simulated cluster: what it answers and what it refuses, in the real tool's words. No network, no files.

use serde_json::Value;

use crate::faults::Fault;
use crate::objects;
use crate::state::State;
use crate::wire::{KubeCall, KubeVerb, Reply};

/// Answers a call. A list of objects is a JSON array; the client looks for names, as it prints.
pub(crate) fn answer(state: &mut State, call: &KubeCall) -> Reply {
    state.faults.take(Fault::JoinLate);
    if let Err(reason) = connect(state, call) {
        return Reply::failed(reason);
    }
    match &call.verb {
        KubeVerb::Ready => Reply::said("ok"),
        KubeVerb::Get { kinds, namespace } => {
            get(state, kinds, namespace).unwrap_or_else(Reply::failed)
        }
        KubeVerb::RestartOperator => restart(state),
        KubeVerb::Apply { objects, file } => state.cluster.objects.apply(objects, file),
        KubeVerb::Diff { objects } => state.cluster.objects.diff(objects),
    }
}

/// Whether an API server answers at the kubeconfig's address, and with a certificate that the kubeconfig trusts.
fn connect(state: &State, call: &KubeCall) -> Result<(), String> {
    let address = call
        .server
        .trim_start_matches("https://")
        .trim_end_matches('/');
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let refused = || {
        format!(
            "The connection to the server {address} was refused - did you specify the right host or port?"
        )
    };
    let Some(node) = state.node_at(host) else {
        return Err(format!(
            "Unable to connect to the server: dial tcp {address}: connect: no route to host"
        ));
    };
    let view = state.view().ok_or_else(refused)?;
    if !node.etcd || node.talos().is_none() {
        return Err(refused());
    }
    if call.ca != view.config.cluster_ca {
        return Err("Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority".into());
    }
    Ok(())
}

fn get(state: &State, kinds: &[String], namespace: &str) -> Result<Reply, String> {
    let view = state.view().ok_or("no cluster")?;
    let mut found = Vec::new();
    for word in kinds {
        let kind = objects::kind(word)
            .ok_or_else(|| format!("error: the server doesn't have a resource type \"{word}\""))?;
        found.extend(objects::list(&view, kind, namespace)?);
        let is_ready = view.members.iter().any(|member| member.ready);
        let applied = &state.cluster.objects;
        found.extend(applied.list(kind, namespace, is_ready, &view.times.api));
    }
    Ok(Reply::said(Value::from(found).to_string()))
}

fn restart(state: &mut State) -> Reply {
    let known = state
        .view()
        .is_some_and(|view| view.has("Deployment", "cilium-operator"));
    if !known {
        return Reply::failed(
            "Error from server (NotFound): deployments.apps \"cilium-operator\" not found",
        );
    }
    state.cluster.operator_restarted = Some(state.now);
    Reply::said("deployment.apps/cilium-operator restarted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::configure;
    use crate::machine_config::tests::sample;
    use crate::state::tests::world;

    fn call(server: &str, ca: &str, verb: KubeVerb) -> KubeCall {
        KubeCall {
            server: server.into(),
            ca: ca.into(),
            verb,
        }
    }

    #[test]
    fn only_the_right_address_and_authority_get_an_answer() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        configure(&mut state, 0, &sample("controlplane", "cp01"));
        state.tick(20_000);
        state.begin_cluster("127.42.0.11", false);
        let good = call("https://127.42.0.11:6443", "azhz", KubeVerb::Ready);
        assert_eq!(
            answer(&mut state, &good),
            Reply::failed(
                "The connection to the server 127.42.0.11:6443 was refused - did you specify the right host or port?"
            )
        );
        state.tick(200_000);
        assert_eq!(answer(&mut state, &good), Reply::said("ok"));
        assert!(
            answer(
                &mut state,
                &call("https://127.42.0.12:6443", "azhz", KubeVerb::Ready)
            )
            .stderr
            .contains("was refused")
        );
        assert!(
            answer(
                &mut state,
                &call("https://127.42.0.11:6443", "b3RoZXI=", KubeVerb::Ready)
            )
            .stderr
            .contains("unknown authority")
        );
        let secrets = KubeVerb::Get {
            kinds: vec!["secrets".into()],
            namespace: String::new(),
        };
        assert_eq!(
            answer(
                &mut state,
                &call("https://127.42.0.11:6443", "azhz", secrets)
            ),
            Reply::failed("error: the server doesn't have a resource type \"secrets\"")
        );
    }
}
