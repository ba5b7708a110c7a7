//! Tables that are handed over: taken for one conversation, or refused with the reason.

use serde::Deserialize;
use serde_json::{Value, json};
use ztc_protocol::Manifest;
use ztc_protocol::message::*;
use ztc_protocol::sha256_hex;

use crate::testing::Conversation;
use crate::versions::{AnyVersions, is_release};
use crate::{Adapter, AdapterError, CallContext, Table, Versions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Releases {
    serial: u64,
    supported: Vec<String>,
}

impl Table for Releases {
    fn serial(&self) -> u64 {
        self.serial
    }

    fn check(&self, own: Option<&Self>) -> Result<(), String> {
        match own {
            Some(own) if !self.supported.iter().any(|one| own.supported.contains(one)) => {
                Err("it knows nothing that this adapter knows".into())
            }
            _ => Ok(()),
        }
    }
}

const OWN: &str = "serial: 3\nsupported: [v1]\n";

static RELEASES: Versions<Releases> = Versions::new(OWN);

struct Subject {
    takes: bool,
}

impl Adapter for Subject {
    fn manifest(&self) -> Manifest {
        Manifest {
            supported_versions: RELEASES.table().supported.clone(),
            ..Manifest::default()
        }
    }

    fn versions(&self) -> Option<&'static dyn AnyVersions> {
        self.takes.then_some(&RELEASES)
    }

    fn get_inputs(
        &self,
        _: GetInputsParams,
        _: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        Ok(GetInputsResult::default())
    }

    fn validate(&self, _: ValidateParams, _: &CallContext) -> Result<ValidateResult, AdapterError> {
        Ok(ValidateResult::default())
    }

    fn render(&self, _: RenderParams, _: &CallContext) -> Result<RenderResult, AdapterError> {
        Ok(RenderResult {
            data: json!(RELEASES.table().supported),
            ..RenderResult::default()
        })
    }

    fn scripts(&self, _: ScriptsParams, _: &CallContext) -> Result<ScriptsResult, AdapterError> {
        Ok(ScriptsResult::default())
    }
}

fn table(serial: u64, content: &str) -> Value {
    json!({"serial": serial, "sha256": sha256_hex(content.as_bytes()), "content": content})
}

/// Returns the answers to `initialize` with a table, and to `render`.
fn speak(subject: Subject, versions: &Value) -> [Value; 2] {
    let mut conversation = Conversation::start(subject);
    let mut ask = |id: u64, method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        conversation.say(&request.to_string());
        conversation.hear()
    };
    let first = ask(
        0,
        "initialize",
        json!({"protocols": ["1.0"], "versions": versions}),
    );
    let second = ask(1, "render", json!({}));
    conversation.end();
    [first, second]
}

#[test]
fn a_table_holds_for_its_conversation_alone() {
    let newer = "serial: 4\nsupported: [v2, v1]\n";
    let [first, second] = speak(Subject { takes: true }, &table(4, newer));
    let manifest = &first["result"]["manifest"];
    assert_eq!(manifest["supported_versions"], json!(["v2", "v1"]));
    assert_eq!(
        manifest["versions"],
        json!({"serial": 4, "sha256": sha256_hex(newer.as_bytes())})
    );
    assert_eq!(second["result"]["data"], json!(["v2", "v1"]));
    let [first, second] = speak(Subject { takes: true }, &Value::Null);
    let manifest = &first["result"]["manifest"];
    assert_eq!(
        manifest["versions"],
        json!({"serial": 3, "sha256": sha256_hex(OWN.as_bytes())})
    );
    assert_eq!(second["result"]["data"], json!(["v1"]));
}

#[test]
fn a_table_that_cannot_be_used_is_refused() {
    let newer = "serial: 4\nsupported: [v1]\n";
    let mut other = table(4, newer);
    other["content"] = json!("serial: 4\nsupported: [v1, v6]\n");
    for (takes, versions, why) in [
        (
            true,
            table(5, newer),
            "table of versions 5 is refused: its text says that its serial is 4",
        ),
        (
            true,
            table(4, "serial: 4\nsupported: [v9]\n"),
            "4 is refused: it knows nothing that this adapter knows",
        ),
        (
            true,
            table(4, "serial: 4\nsupported: [v1]\nscripts: {}\n"),
            "4 is refused: it does not have its form: ",
        ),
        (
            true,
            table(4, "- nonsense\n"),
            "4 is refused: it does not have its form: ",
        ),
        (true, other, "4 is refused: its text has the digest "),
        (
            false,
            table(4, newer),
            "4 is refused: this adapter takes none",
        ),
    ] {
        let [first, second] = speak(Subject { takes }, &versions);
        assert_eq!(first["error"]["code"], -32602, "{first}");
        let message = first["error"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        // It does not go on with its own.
        assert_eq!(second["error"]["code"], 1002, "{second}");
    }
}

#[test]
fn releases_have_a_form() {
    for good in ["v1.18.5", "v0.0.1", "v1.19.0-rc.1", "v1.2.3-alpha.0"] {
        assert!(is_release(good), "{good}");
    }
    for bad in [
        "1.18.5",
        "v1.18",
        "v1.18.x",
        "v1.2.3.4",
        "v1.2.3/../x",
        "v1.2.3-",
        "v1.2.3-a b",
        "v1.2.3?x",
        "v1..3",
        "",
    ] {
        assert!(!is_release(bad), "{bad}");
    }
}
