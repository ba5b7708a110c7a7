//! The adapter's side of a recording again: requests come on stdin, the recorded answers go to stdout, and what the host asks differently is
//! said on stderr. Behaves like any adapter: it ends with its stdin.

use std::io::{BufRead, IsTerminal};

use serde_json::{Value, json};
use ztc_protocol::frame::{self, Frame};
use ztc_protocol::message::Shutdown;
use ztc_protocol::{ErrorCode, Method};

use super::difference;
use crate::adapter::record::Exchange;
use crate::commands::Context;
use crate::error::{Exit, Failure, counted};

/// Answers until stdin ends.
pub(super) fn run(context: &Context, exchanges: &[Exchange]) -> Result<Exit, Failure> {
    let stdin = std::io::stdin();
    let name = &exchanges[0].adapter;
    if let Some(other) = exchanges.iter().find(|exchange| exchange.adapter != *name) {
        return Err(Failure::invalid(format!(
            "the recording holds the calls of `{name}`, `{}` and perhaps others",
            other.adapter
        ))
        .help("say whose answers are given with `--adapter NAME`"));
    }
    if stdin.is_terminal() {
        return Err(Failure::invalid(
            "`ztc plugins replay` is the adapter: it reads a host's requests on stdin, and this is a terminal",
        )
        .help("ask the adapter what it was asked then with `--as-host`; or name a script with `exec ztc plugins replay FILE --adapter NAME` as `plugins.NAME.path` and run any command with `--no-sandbox`"));
    }
    let mut side = Side::new(exchanges);
    for line in stdin.lock().split(b'\n') {
        let line = line.map_err(|error| Failure::io("read", "stdin", &error))?;
        if let Some(answer) = side.take(&line) {
            context.ui.data(&answer.to_string());
        }
        for difference in side.said.drain(..) {
            context.ui.say(difference);
        }
    }
    let never = side.never_asked();
    for call in &never {
        context.ui.say(format!("never asked: {call}"));
    }
    match side.different + never.len() {
        0 => {
            let count = exchanges.len();
            context.ui.done(match count {
                1 => "1 request is the same".to_owned(),
                _ => format!("{count} requests are the same"),
            });
            Ok(Exit::Done)
        }
        count => Err(Failure::new(
            Exit::Differences,
            format!(
                "what the host asks now differs in {}",
                counted(count, "place", "places")
            ),
        )
        .help(
            "look at the differences above; where they are right, record anew with `--record FILE`",
        )),
    }
}

/// What of the recording was asked.
struct Side<'a> {
    exchanges: &'a [Exchange],
    asked: Vec<bool>,
    different: usize,
    said: Vec<String>,
}

impl<'a> Side<'a> {
    fn new(exchanges: &'a [Exchange]) -> Self {
        Self {
            exchanges,
            asked: vec![false; exchanges.len()],
            different: 0,
            said: Vec::new(),
        }
    }

    /// Returns the answer to a line, where it is a request.
    fn take(&mut self, line: &[u8]) -> Option<Value> {
        let Frame::Request { id, method } = frame::classify(line) else {
            return None;
        };
        let request: Value = serde_json::from_slice(frame::trim(line)).unwrap_or_default();
        let params = comparable(&request["params"]);
        let mut answer = json!({ "jsonrpc": "2.0", "id": id });
        match self.find(&method, &params) {
            Some(index) => {
                let recorded = &self.exchanges[index];
                self.compare(index, &method, &params);
                match &recorded.answer {
                    Some(Value::Object(said)) => {
                        for (key, value) in said {
                            answer[key] = value.clone();
                        }
                    }
                    // It was never answered then: neither is it now.
                    _ => return None,
                }
            }
            None if method == Shutdown::NAME => answer["result"] = json!({}),
            None => {
                self.differ(format!("asked and not recorded: `{method}`"));
                let message = format!("the recording has no further `{method}`");
                answer["error"] =
                    json!({ "code": i32::from(ErrorCode::Internal), "message": message });
            }
        }
        Some(answer)
    }

    /// Finds the recorded request that is meant: the same, or else the next of the method.
    fn find(&mut self, method: &str, params: &Value) -> Option<usize> {
        let open = || {
            (0..self.exchanges.len())
                .filter(|index| !self.asked[*index] && self.exchanges[*index].method == method)
        };
        let same = |index: &usize| {
            let recorded = comparable(&self.exchanges[*index].params);
            difference::between("", &recorded, params).is_none()
        };
        let index = open().find(same).or_else(|| open().next())?;
        self.asked[index] = true;
        Some(index)
    }

    fn compare(&mut self, index: usize, method: &str, params: &Value) {
        let recorded = comparable(&self.exchanges[index].params);
        if let Some(text) = difference::between(method, &recorded, params) {
            self.differ(text);
        }
        let before = self.asked[..index].iter().position(|asked| !asked);
        if let Some(before) = before.filter(|_| method != Shutdown::NAME) {
            let other = &self.exchanges[before].method;
            self.differ(format!("asked `{method}` before `{other}`"));
        }
    }

    fn differ(&mut self, text: String) {
        self.different += 1;
        self.said.push(text);
    }

    /// The recorded requests that did not come. Hosts may end without a word.
    fn never_asked(&self) -> Vec<String> {
        let calls = self.exchanges.iter().zip(&self.asked);
        calls
            .filter(|(exchange, asked)| !**asked && exchange.method != Shutdown::NAME)
            .map(|(exchange, _)| format!("`{}`", exchange.method))
            .collect()
    }
}

/// Parameters without what is another one each time.
fn comparable(params: &Value) -> Value {
    let mut params = params.clone();
    if let Some(params) = params.as_object_mut() {
        for key in ["call", "scratch_dir", "host"] {
            params.shift_remove(key);
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_answers_go_to_those_who_ask_the_same_in_their_order() {
        let exchange = |method: &str, params: Value, answer: Value| Exchange {
            adapter: "a".into(),
            method: method.into(),
            params,
            answer: Some(answer),
        };
        let exchanges = [
            exchange(
                "validate",
                json!({ "config": 1, "call": { "id": "x" } }),
                json!({ "result": 1 }),
            ),
            exchange("validate", json!({ "config": 2 }), json!({ "result": 2 })),
            exchange("render", json!({}), json!({ "error": { "code": 3 } })),
        ];
        let mut side = Side::new(&exchanges);
        let mut ask = |id: u32, method: &str, params: Value| {
            let line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            side.take(line.to_string().as_bytes()).unwrap()
        };
        let answer = ask(7, "validate", json!({ "config": 2, "call": { "id": "y" } }));
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": 7, "result": 2 }));
        assert_eq!(ask(8, "validate", json!({ "config": 3 }))["result"], 1);
        assert_eq!(ask(9, "render", json!({}))["error"]["code"], 3);
        assert_eq!(ask(10, "render", json!({}))["error"]["code"], -32603);
        assert_eq!(ask(11, "shutdown", json!({}))["result"], json!({}));
        assert_eq!(side.said[0], "asked `validate` before `validate`");
        assert!(side.said[1].contains("-  \"config\": 1\n+  \"config\": 3\n"));
        assert_eq!(side.said[2..], ["asked and not recorded: `render`"]);
        assert_eq!(side.never_asked(), Vec::<String>::new());
    }
}
