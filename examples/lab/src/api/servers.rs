//! Servers of the cloud API and what can be done to them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::page::{Query, page};
use super::{error, invalid, not_found};
use crate::cloud::{Effect, Server};
use crate::faults::Fault;
use crate::state::State as World;
use crate::world::Inner;

fn show(state: &World, server: &Server, locked: bool) -> Value {
    let first = state
        .nodes
        .first()
        .is_some_and(|node| node.server == server.id);
    let moved = moved(state, server);
    let server = moved.as_ref().unwrap_or(server);
    // Servers that are not ours are protected: nobody but their owner should change them.
    let protected = server.node.is_none() || (first && state.faults.has(Fault::Protected));
    server.to_json(
        server.node.and_then(|index| state.nodes.get(index)),
        locked,
        protected,
    )
}

/// The server with the address that it has now, where addresses were moved: the first of ours gave its own to the first that is not ours.
fn moved(state: &World, server: &Server) -> Option<Server> {
    const NEW: &str = "198.51.100.253";
    let first = state
        .nodes
        .first()
        .filter(|_| state.faults.has(Fault::IpMoved))?;
    let stranger = state.servers.iter().find(|server| server.node.is_none());
    let ip = if server.id == first.server {
        NEW
    } else if stranger.is_some_and(|stranger| stranger.id == server.id) {
        &first.ip
    } else {
        return None;
    };
    Some(Server {
        ip: Some(ip.to_owned()),
        ..server.clone()
    })
}

/// `GET /servers`.
pub(super) async fn list(State(world): State<Arc<Inner>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    let state = world.lock();
    let (name, statuses) = (query.get("name"), query.all("status"));
    let found = state
        .servers
        .iter()
        .filter(|server| name.is_none_or(|name| server.name == name))
        .map(|server| show(&state, server, state.busy(server.id)))
        .filter(|server| {
            statuses.is_empty() || statuses.iter().any(|status| server["status"] == **status)
        })
        .filter(|server| query.selects(&server["labels"]))
        .collect();
    page(&query, "servers", found)
        .map_or_else(|response| *response, |value| Json(value).into_response())
}

/// `GET /servers/{id}`.
pub(super) async fn one(State(world): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let mut state = world.lock();
    let Some(server) = find(&state, &id).cloned() else {
        return not_found("server", &id);
    };
    let locked =
        state.busy(server.id) || (server.node.is_some() && state.faults.take(Fault::Locked));
    Json(json!({"server": show(&state, &server, locked)})).into_response()
}

fn find<'a>(state: &'a World, id: &str) -> Option<&'a Server> {
    let id: u64 = id.parse().ok()?;
    state.servers.iter().find(|server| server.id == id)
}

/// `POST /servers/{id}/actions/{name}`.
pub(super) async fn act(
    State(world): State<Arc<Inner>>,
    Path((id, name)): Path<(String, String)>,
    body: String,
) -> Response {
    let mut state = world.lock();
    let Some(server) = find(&state, &id).cloned() else {
        return not_found("server", &id);
    };
    if server.node.is_none() {
        state.violations.push(format!(
            "`{name}` of server {id} (`{}`), which is not ours",
            server.name
        ));
        return error(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this server belongs to somebody else; the lab would never let you",
        );
    }
    let effect = match effect(&state, &name, &body) {
        Ok(effect) => effect,
        Err(response) => return *response,
    };
    if state.busy(server.id) || state.faults.take(Fault::Locked) {
        return error(
            StatusCode::LOCKED,
            "locked",
            "server is locked by a running action",
        );
    }
    let rescue = matches!(effect, Effect::EnableRescue(_));
    let command = effect.command(&name);
    let action = state.begin(server.id, command, effect);
    let mut answer = json!({"action": action.to_json(state.now)});
    if rescue {
        answer["root_password"] = "not-used-in-the-lab".into();
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

fn effect(state: &World, name: &str, body: &str) -> Result<Effect, Box<Response>> {
    Ok(match name {
        "poweroff" | "shutdown" => Effect::PowerOff,
        "poweron" => Effect::PowerOn,
        "reset" | "reboot" => Effect::Reset,
        "disable_rescue" => Effect::DisableRescue,
        "enable_rescue" => Effect::EnableRescue(rescue_keys(state, body)?),
        _ => {
            let message = format!("the lab does not simulate the action '{name}'");
            return Err(Box::new(error(
                StatusCode::NOT_FOUND,
                "not_found",
                &message,
            )));
        }
    })
}

fn rescue_keys(state: &World, body: &str) -> Result<Vec<String>, Box<Response>> {
    let body: Value =
        serde_json::from_str(if body.is_empty() { "{}" } else { body }).map_err(|problem| {
            Box::new(error(
                StatusCode::BAD_REQUEST,
                "json_error",
                &problem.to_string(),
            ))
        })?;
    if body.get("type").is_some_and(|kind| kind != "linux64") {
        return Err(Box::new(invalid("type", "must be linux64")));
    }
    let ids = body
        .get("ssh_keys")
        .and_then(Value::as_array)
        .map_or(&[] as &[Value], Vec::as_slice);
    ids.iter()
        .map(|id| {
            let key = state.keys.iter().find(|key| Some(key.id) == id.as_u64());
            key.map(|key| key.public_key.clone())
                .ok_or_else(|| Box::new(invalid("ssh_keys", &format!("there is no SSH key {id}"))))
        })
        .collect()
}
