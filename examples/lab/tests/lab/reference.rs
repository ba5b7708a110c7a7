//! The cloud API of the lab against the API's own description, where that is at hand: every kind of answer, every kind of error.
//!
//! The description is older than the removal of `datacenter` from servers (20 July 2026): it still requires the field, which the lab does not
//! send and no client may need. That one requirement is left out; everything else of the description counts.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{self, World};

/// Where the description is below `ZTC_REFERENCE_DIR`.
const DESCRIPTION: &str = "hetzner/hcloud-openapi-unofficial.json";

/// How many answers are looked at.
const CASES: usize = 34;

/// The description, in the words of JSON Schema.
struct Description(Value);

impl Description {
    fn read(text: &str) -> Self {
        let mut description: Value = serde_json::from_str(text).unwrap();
        translate(&mut description);
        Self(description)
    }

    /// Returns the schema of an answer: that of its status, or else of its class, as `4xx`.
    fn schema(&self, method: &str, path: &str, status: u16) -> Validator {
        let responses = &self.0["paths"][path][method]["responses"];
        let class = format!("{}xx", status / 100);
        let of_status = responses.get(status.to_string());
        let response = of_status
            .or_else(|| responses.get(class))
            .unwrap_or_else(|| panic!("the description has no answer {status} of {method} {path}"));
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [response["content"]["application/json"]["schema"]],
            "components": self.0["components"],
        });
        jsonschema::validator_for(&schema).unwrap()
    }
}

/// Turns what OpenAPI 3.0 says otherwise into JSON Schema, and takes the one outdated requirement out.
fn translate(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(translate),
        Value::Object(object) => {
            object.values_mut().for_each(translate);
            if let Some(Value::Array(required)) = object.get_mut("required") {
                required.retain(|name| name != "datacenter");
            }
            if object.remove("nullable") == Some(Value::Bool(true)) {
                if let Some(Value::Array(values)) = object.get_mut("enum") {
                    values.push(Value::Null);
                }
                let whole = Value::Object(std::mem::take(object));
                object.insert("anyOf".into(), json!([whole, {"type": "null"}]));
            }
        }
        _ => {}
    }
}

/// An answer of the lab: method, path of the description, status, body.
type Answer = (&'static str, &'static str, u16, Value);

#[test]
fn every_answer_is_as_the_api_describes_it() {
    let Some(directory) = std::env::var_os("ZTC_REFERENCE_DIR") else {
        support::count(&format!(
            "hetzner responses skipped: {CASES} (ZTC_REFERENCE_DIR is not set)"
        ));
        return;
    };
    let file = std::path::Path::new(&directory).join(DESCRIPTION);
    let description = Description::read(&std::fs::read_to_string(file).unwrap());
    let world = World::start(&["--nodes", "2"]);
    let mut answers = reads(&world);
    answers.extend(actions(&world));
    answers.extend(errors(&world));
    let mut wrong = Vec::new();
    for (method, path, status, body) in &answers {
        let schema = description.schema(method, path, *status);
        if let Some(error) = schema.iter_errors(body).next() {
            let place = error.instance_path();
            wrong.push(format!("{method} {path} {status}: {error} at {place}"));
        }
    }
    let count = answers.len();
    let valid = count - wrong.len();
    support::count(&format!("hetzner responses valid: {valid}/{count}"));
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(count, CASES);
}

fn get(world: &World, path: &'static str, url: &str) -> Answer {
    let (status, body) = world.get(url);
    ("get", path, status, body)
}

fn post(world: &World, path: &'static str, url: &str, body: &Value) -> Answer {
    let (status, body) = world.post(url, body);
    ("post", path, status, body)
}

fn reads(world: &World) -> Vec<Answer> {
    let key = world.make_key();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let new = json!({"name": "one", "public_key": public.trim(), "labels": {"a": "b"}});
    let created = post(world, "/ssh_keys", "/ssh_keys", &new);
    assert_eq!(created.2, 201, "{}", created.3);
    let id = created.3["ssh_key"]["id"].clone();
    vec![
        get(world, "/servers", "/servers"),
        get(world, "/servers", "/servers?per_page=50&page=2"),
        get(world, "/servers", "/servers?name=cp01"),
        get(world, "/servers", "/servers?name=nobody"),
        get(world, "/servers/{id}", "/servers/42000001"),
        get(world, "/servers/{id}", "/servers/31000000"),
        get(world, "/ssh_keys", "/ssh_keys"),
        get(world, "/ssh_keys/{id}", &format!("/ssh_keys/{id}")),
        created,
    ]
}

fn actions(world: &World) -> Vec<Answer> {
    const ONE: &str = "/servers/42000001";
    let keys = world.get("/ssh_keys").1["ssh_keys"][0]["id"].clone();
    let rescue = json!({"type": "linux64", "ssh_keys": [keys]});
    let steps: [(&'static str, &str, Value); 7] = [
        ("/servers/{id}/actions/poweroff", "poweroff", json!({})),
        (
            "/servers/{id}/actions/enable_rescue",
            "enable_rescue",
            rescue.clone(),
        ),
        (
            "/servers/{id}/actions/disable_rescue",
            "disable_rescue",
            json!({}),
        ),
        ("/servers/{id}/actions/poweron", "poweron", json!({})),
        ("/servers/{id}/actions/reset", "reset", json!({})),
        ("/servers/{id}/actions/reboot", "reboot", json!({})),
        ("/servers/{id}/actions/shutdown", "shutdown", json!({})),
    ];
    let mut answers = Vec::new();
    let mut ids = Vec::new();
    for (path, action, body) in steps {
        let begun = post(world, path, &format!("{ONE}/actions/{action}"), &body);
        assert_eq!(begun.2, 201, "{}", begun.3);
        let id = begun.3["action"]["id"].as_u64().unwrap();
        ids.push(id.to_string());
        answers.push(begun);
        world.wait(action, |_| {
            world.get(&format!("/actions/{id}")).1["action"]["status"] == "success"
        });
    }
    let (first, all) = (&ids[0], ids.join("&id="));
    answers.extend([
        get(world, "/actions", &format!("/actions?id={all}")),
        get(world, "/actions/{id}", &format!("/actions/{first}")),
        get(world, "/servers/{id}/actions", &format!("{ONE}/actions")),
        get(
            world,
            "/servers/{id}/actions/{action_id}",
            &format!("{ONE}/actions/{first}"),
        ),
        // Off, and one that still runs.
        get(world, "/servers/{id}", ONE),
        post(
            world,
            "/servers/{id}/actions/enable_rescue",
            &format!("{ONE}/actions/enable_rescue"),
            &rescue,
        ),
        post(
            world,
            "/servers/{id}/actions/poweron",
            &format!("{ONE}/actions/poweron"),
            &json!({}),
        ),
    ]);
    answers
}

fn errors(world: &World) -> Vec<Answer> {
    let key = world.get("/ssh_keys").1["ssh_keys"][0].clone();
    let mut answers = vec![
        get(world, "/servers/{id}", "/servers/1"),
        get(world, "/actions/{id}", "/actions/1"),
        get(world, "/ssh_keys/{id}", "/ssh_keys/1"),
        get(world, "/servers", "/servers?per_page=51"),
        post(world, "/ssh_keys", "/ssh_keys", &json!({})),
        post(
            world,
            "/ssh_keys",
            "/ssh_keys",
            &json!({"name": "x", "public_key": "y"}),
        ),
        post(
            world,
            "/ssh_keys",
            "/ssh_keys",
            &json!({"name": "two", "public_key": key["public_key"]}),
        ),
        post(
            world,
            "/servers/{id}/actions/poweroff",
            "/servers/31000000/actions/poweroff",
            &json!({}),
        ),
    ];
    assert_eq!(world.fault("readonly-token=1"), 204);
    answers.push(post(world, "/ssh_keys", "/ssh_keys", &json!({})));
    assert_eq!(world.fault("rate-limit=1"), 204);
    answers.push(get(world, "/servers", "/servers"));
    // Every second one is in HTML, which no schema describes.
    assert_eq!(world.fault("bad-gateway=2"), 204);
    let bad: Vec<Answer> = (0..2)
        .filter_map(|_| {
            let (status, body) = world.try_get("/servers");
            Some(("get", "/servers", status, body?))
        })
        .collect();
    assert_eq!(bad.len(), 1);
    answers.extend(bad);
    assert_eq!(world.delete(&format!("/ssh_keys/{}", key["id"])), 204);
    answers
}
