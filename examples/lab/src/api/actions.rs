//! Actions of the cloud API: things that take time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::page::{Query, page};
use super::{error, not_found};
use crate::world::Inner;

/// `GET /actions?id=..&id=..`; without ids it was removed from the API.
pub(super) async fn list(State(world): State<Arc<Inner>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    let ids = query.all("id");
    if ids.is_empty() {
        return error(
            StatusCode::GONE,
            "deprecated_api_endpoint",
            "listing all actions was removed; name the ids",
        );
    }
    let mut state = world.lock();
    let named = |id: u64| ids.contains(&id.to_string().as_str());
    let running = state
        .actions
        .iter()
        .filter(|action| named(action.id) && action.effect.is_some())
        .count();
    state.asked_about(running);
    let found: Vec<Value> = state
        .actions
        .iter()
        .filter(|action| named(action.id))
        .map(|action| action.to_json(state.now))
        .collect();
    page(&query, "actions", found)
        .map_or_else(|response| *response, |value| Json(value).into_response())
}

/// `GET /actions/{id}`.
pub(super) async fn one(State(world): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let state = world.lock();
    match state
        .actions
        .iter()
        .find(|action| action.id.to_string() == id)
    {
        Some(action) => Json(json!({"action": action.to_json(state.now)})).into_response(),
        None => not_found("action", &id),
    }
}

/// `GET /servers/{id}/actions`.
pub(super) async fn of_server(
    State(world): State<Arc<Inner>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let state = world.lock();
    let found: Vec<Value> = state
        .actions
        .iter()
        .filter(|action| action.server.to_string() == id)
        .map(|action| action.to_json(state.now))
        .collect();
    page(&Query::parse(query.as_deref()), "actions", found)
        .map_or_else(|response| *response, |value| Json(value).into_response())
}

/// `GET /servers/{id}/actions/{action}`.
pub(super) async fn one_of_server(
    world: State<Arc<Inner>>,
    Path((_, action)): Path<(String, String)>,
) -> Response {
    one(world, Path(action)).await
}
