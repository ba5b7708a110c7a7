//! Whole conversations over pipes in memory.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use ztc_protocol::Manifest;
use ztc_protocol::message::*;

use super::*;
use crate::CallContext;

/// Behaves as the answers in `get_inputs` say; `validate` waits until it is cancelled.
struct Subject {
    started: mpsc::UnboundedSender<()>,
}

impl Adapter for Subject {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "subject".into(),
            version: "1.0.0".into(),
            ..Manifest::default()
        }
    }

    fn get_inputs(
        &self,
        params: GetInputsParams,
        call: &CallContext,
    ) -> Result<GetInputsResult, AdapterError> {
        match params.answers.get("do").and_then(Value::as_str) {
            Some("panic") => panic!("no {} left", "luck"),
            Some("progress") => (0..200).for_each(|n| call.progress(format!("step {n}"), None)),
            Some("refuse") => {
                return Err(
                    AdapterError::new(ErrorCode::ExternalFailure, "the cloud is gone").help("wait"),
                );
            }
            _ => {}
        }
        Ok(GetInputsResult::default())
    }

    fn validate(
        &self,
        _: ValidateParams,
        call: &CallContext,
    ) -> Result<ValidateResult, AdapterError> {
        self.started.send(()).unwrap();
        // The limit lets a test that is about to fail come to its end.
        let start = std::time::Instant::now();
        while !call.is_cancelled() && start.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        assert!(call.is_cancelled(), "never cancelled");
        Err(CallContext::cancelled())
    }

    fn render(&self, _: RenderParams, _: &CallContext) -> Result<RenderResult, AdapterError> {
        Ok(RenderResult::default())
    }

    fn scripts(&self, _: ScriptsParams, _: &CallContext) -> Result<ScriptsResult, AdapterError> {
        Ok(ScriptsResult::default())
    }
}

struct Host {
    to: DuplexStream,
    from: Lines<BufReader<DuplexStream>>,
    session: JoinHandle<io::Result<End>>,
    started: mpsc::UnboundedReceiver<()>,
}

impl Host {
    fn start() -> Self {
        let (to, input) = tokio::io::duplex(1024);
        let (output, from) = tokio::io::duplex(1024);
        let (sender, started) = mpsc::unbounded_channel();
        let session = tokio::spawn(converse(
            Arc::new(Subject { started: sender }),
            input,
            output,
        ));
        Self {
            to,
            from: BufReader::new(from).lines(),
            session,
            started,
        }
    }

    async fn initialized() -> Self {
        let mut host = Self::start();
        host.say(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocols":["1.0"]}}"#,
        )
        .await;
        host.hear().await;
        host
    }

    async fn say(&mut self, line: &str) {
        self.to
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(Duration::from_secs(10), self.from.next_line())
            .await
            .expect("an answer in time");
        serde_json::from_str(&line.unwrap().expect("an answer")).unwrap()
    }

    /// Says a line and compares the next one.
    async fn check(&mut self, line: &str, expected: Value) {
        self.say(line).await;
        assert_eq!(self.hear().await, expected, "{line}");
    }
}

fn error(id: Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

#[tokio::test]
async fn initialize_comes_first_and_agrees_on_a_version() {
    let mut host = Host::start();
    host.check(
        r#"{"jsonrpc":"2.0","id":1,"method":"render"}"#,
        error(json!(1), 1002, "`render` came before `initialize`"),
    )
    .await;
    host.check(
        r#"{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocols":["2.3"]}}"#,
        json!({"jsonrpc": "2.0", "id": 2, "error": {
            "code": 1001,
            "message": "this adapter speaks protocol 1.0, the host 2.3",
            "data": {"retryable": false, "supported": ["1.0"]},
        }}),
    )
    .await;
    host.say(
        r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"protocols":["1.7","2.3"]}}"#,
    )
    .await;
    let answer = host.hear().await;
    assert_eq!(
        (
            &answer["result"]["protocol"],
            &answer["result"]["manifest"]["name"]
        ),
        (&json!("1.0"), &json!("subject"))
    );
}

#[tokio::test]
async fn what_is_wrong_is_answered_and_the_connection_lives() {
    let mut host = Host::initialized().await;
    host.check(
        r#"{"jsonrpc":"2.0","id":"a","method":"dance"}"#,
        error(json!("a"), -32601, "Method not found"),
    )
    .await;
    let message = "the parameters of `get_inputs` do not have its form: invalid type: integer `7`, expected a map at line 1 column 12";
    host.check(
        r#"{"jsonrpc":"2.0","id":1,"method":"get_inputs","params":{"answers":7}}"#,
        error(json!(1), -32602, message),
    )
    .await;
    let message = "neither a request, a notification nor a response";
    host.check(
        r#"{"jsonrpc":"2.0","id":2,"method":7}"#,
        error(json!(2), -32600, message),
    )
    .await;
    host.say("not JSON at all").await;
    host.say(r#"[{"jsonrpc":"2.0","id":5,"method":"render"}]"#)
        .await;
    host.say(r#"{"jsonrpc":"2.0","method":"$/unknown"}"#).await;
    host.say("").await;
    let call =
        r#"{"jsonrpc":"2.0","id":3,"method":"get_inputs","params":{"answers":{"do":"panic"}}}"#;
    host.check(
        call,
        error(json!(3), -32603, "adapter panicked: no luck left"),
    )
    .await;
    let call =
        r#"{"jsonrpc":"2.0","id":4,"method":"get_inputs","params":{"answers":{"do":"refuse"}}}"#;
    let data = json!({"help": "wait", "retryable": false});
    let error = json!({"code": 1030, "message": "the cloud is gone", "data": data});
    host.check(call, json!({"jsonrpc": "2.0", "id": 4, "error": error}))
        .await;
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"scripts","params":{"field of tomorrow":1}}"#;
    host.check(
        call,
        json!({"jsonrpc": "2.0", "id": 5, "result": {"scripts": []}}),
    )
    .await;
}

#[tokio::test]
async fn progress_arrives_in_order_before_the_answer() {
    let mut host = Host::initialized().await;
    host.say(r#"{"jsonrpc":"2.0","id":1,"method":"get_inputs","params":{"answers":{"do":"progress"},"call":{"id":"c1"}}}"#)
        .await;
    for n in 0..200 {
        let params = json!({"call_id": "c1", "message": format!("step {n}"), "fraction": null});
        assert_eq!(
            host.hear().await,
            json!({"jsonrpc": "2.0", "method": "$/progress", "params": params})
        );
    }
    assert_eq!(host.hear().await["id"], 1);
}

#[tokio::test]
async fn a_cancelled_call_answers_and_others_go_on_beside_it() {
    let mut host = Host::initialized().await;
    host.say(r#"{"jsonrpc":"2.0","id":1,"method":"validate","params":{"call":{"id":"c1"}}}"#)
        .await;
    host.check(
        r#"{"jsonrpc":"2.0","id":2,"method":"scripts"}"#,
        json!({"jsonrpc": "2.0", "id": 2, "result": {"scripts": []}}),
    )
    .await;
    host.started.recv().await.unwrap();
    host.check(
        r#"{"jsonrpc":"2.0","method":"$/cancel","params":{"call_id":"c1"}}"#,
        error(json!(1), 1020, "cancelled"),
    )
    .await;
}

#[tokio::test]
async fn the_end_of_stdin_ends_the_session_also_in_the_middle_of_a_call() {
    let mut host = Host::initialized().await;
    host.check(
        r#"{"jsonrpc":"2.0","id":1,"method":"shutdown"}"#,
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
    )
    .await;
    drop(host.to);
    assert!(host.session.await.unwrap().unwrap() == End::Announced);

    let mut host = Host::initialized().await;
    host.say(r#"{"jsonrpc":"2.0","id":1,"method":"validate","params":{"call":{"id":"c1"}}}"#)
        .await;
    drop(host.to);
    let end = timeout(Duration::from_secs(2), host.session)
        .await
        .expect("an end within two seconds");
    assert!(end.unwrap().unwrap() == End::HostGone);
}
