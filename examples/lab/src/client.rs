//! How the stand-ins talk to their world: one JSON object there, one back. Never through a proxy.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes a client without time limits: a call that hangs is something that scripts must cope with.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .build()
        .into()
}

/// Posts an object and reads the answer.
pub(crate) fn post<T: DeserializeOwned>(url: &str, body: &impl Serialize) -> Result<T, String> {
    let gone = |problem: ureq::Error| {
        format!("the lab does not answer at `{url}` ({problem}); start it again")
    };
    let mut response = agent().post(url).send_json(body).map_err(gone)?;
    response.body_mut().read_json().map_err(gone)
}
