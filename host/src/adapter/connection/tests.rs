//! The connection against a peer that says exactly what a test tells it to.

use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;
use ztc_protocol::message::*;

use super::*;

/// Keeps what it hears.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Listener for Ear {
    fn log(&self, level: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{level}: {message}"));
    }

    fn progress(&self, message: &str) {
        self.0.lock().unwrap().push(format!("progress: {message}"));
    }

    fn over(&self, method: &str, _lasted: Duration, progress: u64) {
        if progress > 0 {
            let text = format!("`{method}` reported progress {progress} times");
            self.0.lock().unwrap().push(text);
        }
    }

    fn offense(&self, what: &str, excerpt: &str) {
        self.0.lock().unwrap().push(format!("{what}: {excerpt}"));
    }
}

struct Peer {
    connection: Arc<Connection>,
    requests: Lines<BufReader<DuplexStream>>,
    to_host: DuplexStream,
    ear: Arc<Ear>,
}

const LIMITS: Limits = Limits {
    idle: Duration::from_secs(20),
    total: Duration::from_secs(30),
};

impl Peer {
    fn new() -> Self {
        let (from_host, to_adapter) = tokio::io::duplex(1 << 16);
        let (from_adapter, to_host) = tokio::io::duplex(1 << 16);
        let ear = Arc::new(Ear::default());
        let connection = Arc::new(Connection::open(
            from_adapter,
            to_adapter,
            Arc::clone(&ear) as Arc<dyn Listener>,
        ));
        Self {
            connection,
            requests: BufReader::new(from_host).lines(),
            to_host,
            ear,
        }
    }

    fn call(&self) -> JoinHandle<Result<ValidateResult, CallError>> {
        let connection = Arc::clone(&self.connection);
        tokio::spawn(async move {
            connection
                .request::<Validate>(ValidateParams::default(), LIMITS)
                .await
        })
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(10), self.requests.next_line())
            .await
            .expect("a line in time");
        serde_json::from_str(&line.unwrap().expect("a line")).unwrap()
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.to_host.write_all(text.as_ref()).await.unwrap();
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.ear.0.lock().unwrap())
    }
}

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"diagnostics":[],"tomorrow":1}}"#;

/// Says something before the answer, expects the answer to arrive nevertheless, and returns what was noticed.
async fn beside(before: &[u8]) -> Vec<String> {
    let mut peer = Peer::new();
    let call = peer.call();
    let request = peer.hear().await;
    assert_eq!(
        (&request["id"], &request["method"]),
        (&json!(0), &json!("validate"))
    );
    peer.say(before).await;
    peer.say(format!("{ANSWER}\n")).await;
    assert_eq!(call.await.unwrap().unwrap(), ValidateResult::default());
    peer.heard()
}

#[tokio::test]
async fn nothing_beside_an_answer_disturbs_it() {
    let nothing: [&str; 0] = [];
    assert_eq!(beside(b"").await, nothing);
    assert_eq!(beside(b"\n \r\n\xEF\xBB\xBF").await, nothing);
    assert_eq!(
        beside(b"{\"method\":\"$/later\",\"params\":[]}\n").await,
        nothing
    );
    assert_eq!(
        beside(b"Compiling foo\n").await,
        ["wrote a line that is not a JSON object: Compiling foo"]
    );
    assert_eq!(
        beside(b"\xff\xfe\n").await,
        ["wrote a line that is not UTF-8: \u{fffd}\u{fffd}"]
    );
    assert_eq!(
        beside(b"{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"what?\"}}\n").await,
        [
            r#"sent an answer whose id is `null`: {"id":null,"error":{"code":-32700,"message":"what?"}}"#
        ]
    );
    assert_eq!(
        beside(b"{\"id\":999,\"result\":{}}\n").await,
        [r#"sent an answer that nothing waits for: {"id":999,"result":{}}"#]
    );
    assert_eq!(
        beside(b"{\"method\":\"$/log\",\"params\":{\"level\":\"info\",\"message\":\"hello\"}}\n")
            .await,
        ["info: hello"]
    );
}

#[tokio::test]
async fn the_same_answer_twice_counts_once() {
    let mut peer = Peer::new();
    let call = peer.call();
    peer.hear().await;
    peer.say(format!("{ANSWER}\r\n{ANSWER}\n")).await;
    call.await.unwrap().unwrap();
    let call = peer.call();
    peer.hear().await;
    peer.say(ANSWER.replace("\"id\":0", "\"id\":1") + "\n")
        .await;
    call.await.unwrap().unwrap();
    assert_eq!(
        peer.heard(),
        [format!("sent an answer that nothing waits for: {ANSWER}")]
    );
}

#[tokio::test]
async fn a_request_from_the_adapter_is_answered() {
    let mut peer = Peer::new();
    let call = peer.call();
    peer.hear().await;
    peer.say("{\"id\":\"q\",\"method\":\"ask\"}\n").await;
    let message = "ztc has no method `ask`: requests go from host to adapter only";
    let error = json!({"code": -32601, "message": message});
    assert_eq!(
        peer.hear().await,
        json!({"jsonrpc": "2.0", "id": "q", "error": error})
    );
    peer.say(format!("{ANSWER}\n")).await;
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_malformed_answer_fails_its_call_and_no_other() {
    let mut peer = Peer::new();
    let first = peer.call();
    peer.hear().await;
    let second = peer.call();
    peer.hear().await;
    peer.say("{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":\"so\"}\n")
        .await;
    peer.say(ANSWER.replace("\"id\":0", "\"id\":1") + "\n")
        .await;
    let CallError::Refused(error) = first.await.unwrap().unwrap_err() else {
        panic!("the call must fail alone")
    };
    second.await.unwrap().unwrap();
    assert!(
        error
            .message()
            .starts_with("the answer is not a JSON-RPC 2.0 response"),
        "{}",
        error.message()
    );
    let call = peer.call();
    peer.hear().await;
    peer.say("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":[7]}\n")
        .await;
    assert!(matches!(call.await.unwrap(), Err(CallError::Form(_))));
}

#[tokio::test(start_paused = true)]
async fn progress_starts_the_idle_limit_anew_but_not_the_total() {
    let mut peer = Peer::new();
    let call = peer.call();
    let id = peer.hear().await["params"]["call"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let progress = |message: &str| {
        format!(
            "{}\n",
            json!({"method": "$/progress", "params": {"call_id": id, "message": message}})
        )
    };
    tokio::time::sleep(Duration::from_secs(15)).await;
    peer.say(progress("half")).await;
    assert!(
        matches!(call.await.unwrap(), Err(CallError::Total(limit, LastWord::Nothing)) if limit == LIMITS.total)
    );
    assert_eq!(
        peer.heard(),
        ["progress: half", "`validate` reported progress 1 times"]
    );
    let cancel = peer.hear().await;
    assert_eq!(
        (&cancel["method"], &cancel["params"]["call_id"]),
        (&json!("$/cancel"), &json!(id))
    );

    let silent = peer.call();
    assert!(
        matches!(silent.await.unwrap(), Err(CallError::Idle(limit, LastWord::Nothing)) if limit == LIMITS.idle)
    );
    // Answers that come too late harm nobody.
    peer.say(format!("{ANSWER}\n")).await;
    let call = peer.call();
    while peer.hear().await["id"] != 2 {}
    peer.say(ANSWER.replace("\"id\":0", "\"id\":2") + "\n")
        .await;
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_the_stream_ends_every_call() {
    let mut peer = Peer::new();
    let calls = [peer.call(), peer.call()];
    peer.hear().await;
    peer.say("{\"half").await;
    drop(peer.to_host);
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(CallError::Gone)));
    }
    assert_eq!(peer.connection.unfinished().as_deref(), Some("{\"half"));
    assert_eq!(*peer.ear.0.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_has_the_last_word() {
    let mut peer = Peer::new();
    let call = peer.call();
    peer.hear().await;
    tokio::time::sleep(LIMITS.idle + Duration::from_millis(10)).await;
    assert_eq!(peer.hear().await["params"]["reason"], "it takes too long");
    let error = json!({"code": 1020, "message": "stopped at peer 3"});
    peer.say(json!({"jsonrpc": "2.0", "id": 0, "error": error}).to_string() + "\n")
        .await;
    let CallError::Idle(_, last) = call.await.unwrap().unwrap_err() else {
        panic!("the limit has passed")
    };
    assert_eq!(last, LastWord::GaveUp("stopped at peer 3".to_owned()));
    assert_eq!(peer.connection.unfinished(), None);
}

#[tokio::test]
async fn no_progress_is_lost() {
    let mut peer = Peer::new();
    let call = peer.call();
    let id = peer.hear().await["params"]["call"]["id"].clone();
    let line =
        json!({"method": "$/progress", "params": {"call_id": id, "message": "on"}}).to_string();
    peer.say(format!("{line}\n").repeat(5000) + ANSWER + "\n")
        .await;
    call.await.unwrap().unwrap();
    assert_eq!(peer.heard(), ["`validate` reported progress 5000 times"]);
}
