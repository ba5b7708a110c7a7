//! The lab's own interface: the stand-ins talk to it, tests look at the state and set faults.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::faults;
use crate::image;
use crate::kube;
use crate::talos::{self, Answer};
use crate::wire::{KubeCall, RescueEvent, TalosCall};
use crate::world::Inner;

/// `GET /lab/state`.
pub(super) async fn state(State(world): State<Arc<Inner>>) -> Json<Value> {
    let state = world.lock();
    let nodes: Vec<Value> = state
        .nodes
        .iter()
        .map(|node| {
            let applied = node.applied.as_ref();
            json!({
                "name": node.name,
                "ip": node.ip,
                "server_id": node.server,
                "power": node.power,
                "rescue_enabled": node.rescue.is_some(),
                "disk": image::inspect(&node.disk),
                "installs": node.installs,
                "wiped_after_boot": node.wiped_after_boot,
                "role": applied.map(|applied| applied.config.role),
                "host_name": applied.map(|applied| &applied.config.host_name),
                "etcd": node.etcd,
            })
        })
        .collect();
    let ready: Vec<&str> = state
        .view()
        .map(|view| {
            view.members
                .iter()
                .filter(|member| member.ready)
                .map(|member| member.node.name.as_str())
                .collect()
        })
        .unwrap_or_default();
    Json(json!({
        "nodes": nodes,
        "bootstrapped": state.cluster.bootstrapped.is_some(),
        "ready": ready,
        "ssh_keys": state.keys,
        "actions": state.actions.iter().map(|action| action.to_json(state.now)).collect::<Vec<_>>(),
        "requests": state.requests,
        "faults": state.faults,
        "violations": state.violations,
    }))
}

/// `GET /lab/faults`.
pub(super) async fn faults(State(world): State<Arc<Inner>>) -> Json<Value> {
    Json(json!(world.lock().faults))
}

/// `DELETE /lab/faults`.
pub(super) async fn clear_faults(State(world): State<Arc<Inner>>) -> StatusCode {
    world.lock().faults.clear();
    StatusCode::NO_CONTENT
}

/// `POST /lab/faults/NAME` or `NAME=N`.
pub(super) async fn set_fault(
    State(world): State<Arc<Inner>>,
    Path(text): Path<String>,
) -> Response {
    match faults::parse(&text) {
        Ok((fault, count)) => {
            world.set_fault(fault, count);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

/// `POST /lab/rescue/{node}`: a tool of the node's rescue system did something. Answers whether it may go on.
pub(super) async fn rescue(
    State(world): State<Arc<Inner>>,
    Path(name): Path<String>,
    Json(event): Json<RescueEvent>,
) -> Json<bool> {
    let mut state = world.lock();
    let soon = state.now + state.timing.reboot();
    if let RescueEvent::Violation(text) = &event {
        state.violations.push(format!("{name}: {text}"));
    }
    let full = event == RescueEvent::Writing && state.faults.take(faults::Fault::DiskFull);
    let Some(node) = state.nodes.iter_mut().find(|node| node.name == name) else {
        return Json(false);
    };
    match event {
        RescueEvent::Discarded | RescueEvent::Writing => node.disk_changed(),
        RescueEvent::Written => node.installs += 1,
        RescueEvent::Reboot => node.restart_soon(soon),
        RescueEvent::PowerOff => node.power_off(),
        RescueEvent::Violation(_) => {}
    }
    Json(!full)
}

/// `POST /lab/talosctl`.
pub(super) async fn talosctl(
    State(world): State<Arc<Inner>>,
    Json(call): Json<TalosCall>,
) -> Response {
    let answer = talos::answer(&mut world.lock(), &call);
    match answer {
        Answer::Now(reply) => Json(reply).into_response(),
        // The client gives up, or the world ends.
        Answer::Never => std::future::pending().await,
    }
}

/// `POST /lab/kubectl`.
pub(super) async fn kubectl(
    State(world): State<Arc<Inner>>,
    Json(call): Json<KubeCall>,
) -> Response {
    Json(kube::answer(&mut world.lock(), &call)).into_response()
}
