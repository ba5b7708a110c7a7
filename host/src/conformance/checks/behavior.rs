//! How the adapter takes what it does not expect: the wrong order, unknown methods and fields, lines that are none, and the end of stdin.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};
use ztc_protocol::Manifest;

use crate::conformance::Kit;
use crate::conformance::checks::material::questions;
use crate::conformance::checks::{expect_error, instead};
use crate::conformance::report::Outcome;
use crate::conformance::session::{Answer, END, Reply, Session};
use crate::error::Failure;

/// The number of SIGKILL.
const KILL: i32 = crate::process::Signal::KILL.as_raw();

/// The name of every field that no version of the protocol has.
const UNKNOWN: &str = "x_ztc_kit_unknown";

/// Makes the checks.
pub(crate) async fn run(kit: &mut Kit, manifest: &Manifest) -> Result<(), Failure> {
    let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    let answer = session.call("get_inputs", questions(manifest)).await;
    let outcome = expect_error("get_inputs", 1002, &answer);
    kit.report.add("initialize-first", outcome);
    session.end().await;

    let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    let mut hello = session.hello("1.0");
    unknown_fields(&mut hello);
    let greeted = session.call("initialize", hello).await;
    fields(kit, manifest, &mut session, &greeted).await;
    request_ids(kit, manifest, &mut session).await;
    left_out(kit, manifest, &mut session).await;
    let answer = session.call("x/ztc-kit-unknown", json!({})).await;
    let outcome = expect_error("x/ztc-kit-unknown", -32601, &answer);
    kit.report.add("unknown-method", outcome);
    strange_lines(kit, manifest, &mut session).await;
    end_of_stdin(kit, &mut session).await;

    let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    shutdown(kit, &mut session).await;
    if let Some(own) = &manifest.versions {
        let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
        table(kit, own.serial, &mut session).await;
    }
    Ok(())
}

/// A table of versions that is none is refused, and the adapter does not go on with its own instead.
async fn table(kit: &mut Kit, own: u64, session: &mut Session) {
    let content = format!("serial: {}\n{UNKNOWN}: true\n", own.saturating_add(1));
    let mut hello = session.hello("1.0");
    hello["versions"] = json!({
        "serial": own.saturating_add(1),
        "sha256": ztc_protocol::sha256_hex(content.as_bytes()),
        "content": content,
    });
    let refused = session.call("initialize", hello).await;
    let outcome = expect_error("initialize", -32602, &refused);
    kit.report.add("versions-table", outcome);
    session.end().await;
}

/// Adds fields that no adapter knows wherever a later minor version may add some.
pub(super) fn unknown_fields(params: &mut Value) {
    params[UNKNOWN] = json!({ "nested": [1, "two", null] });
    for part in ["call", "host", "platform"] {
        match &mut params[part] {
            Value::Null => params[part] = json!({ UNKNOWN: true }),
            object => object[UNKNOWN] = json!(true),
        }
    }
}

async fn fields(kit: &mut Kit, manifest: &Manifest, session: &mut Session, greeted: &Answer) {
    let place = "`initialize` with unknown fields";
    let outcome = if matches!(greeted, Ok(Reply::Result(_))) {
        let mut params = questions(manifest);
        let plain = session.call("get_inputs", params.clone()).await;
        unknown_fields(&mut params);
        let extended = session.call("get_inputs", params).await;
        if plain == extended && plain.is_ok() {
            Outcome::ok("ignored")
        } else {
            let why = format!(
                "{} where it answers differently without them",
                instead(&extended)
            );
            Outcome::failed("`get_inputs` with unknown fields", why)
        }
    } else {
        Outcome::failed(place, instead(greeted))
    };
    kit.report.add("unknown-fields", outcome);
}

/// An id comes back as it went, with its type. Every session begins with 0.
async fn request_ids(kit: &mut Kit, manifest: &Manifest, session: &mut Session) {
    let answer = session
        .call_by_text("get_inputs", questions(manifest))
        .await;
    let outcome = match &answer {
        Ok(_) => Outcome::ok("0, other numbers, and a text"),
        Err(broken) => Outcome::failed("`get_inputs` with a text as `id`", broken.to_string()),
    };
    kit.report.add("request-ids", outcome);
}

/// Params whose value is empty may be left out.
async fn left_out(kit: &mut Kit, manifest: &Manifest, session: &mut Session) {
    let whole = session.call("get_inputs", questions(manifest)).await;
    let params = json!({ "platform": questions(manifest)["platform"] });
    let less = session.call("get_inputs", params).await;
    let outcome = if whole == less {
        Outcome::ok("the same answer without empty params")
    } else {
        let why = format!(
            "the kit left `answers` and `others` out, which means the same as `{{}}`; the adapter {}",
            instead(&less)
        );
        Outcome::failed("`get_inputs`", why)
    };
    kit.report.add("left-out-params", outcome);
}

/// Lines that ask nothing change nothing: the next call is answered.
async fn strange_lines(kit: &mut Kit, manifest: &Manifest, session: &mut Session) {
    let lines: [&[u8]; 9] = [
        b"",
        b"this is not JSON",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b"caf\xe9",
        br#"{"jsonrpc":"2.0","method":"$/x_ztc_kit_unknown","params":{}}"#,
        br#"{"jsonrpc":"2.0","method":"$/cancel","params":{"call_id":"nobody","reason":"kit"}}"#,
    ];
    let mut outcome = Outcome::ok(
        "lines that are not JSON, not UTF-8, no object or no request; an unknown notification; a cancel of nothing",
    );
    for line in lines {
        let sent = session.send_bytes(line).await;
        let answer = session.call("get_inputs", questions(manifest)).await;
        if sent.is_err() || answer.is_err() {
            let line = line.escape_ascii();
            let why = format!("{} after the line `{line}`", instead(&answer));
            outcome = Outcome::failed("`get_inputs`", why);
            break;
        }
    }
    kit.report.add("strange-lines", outcome);
}

async fn end_of_stdin(kit: &mut Kit, session: &mut Session) {
    let outcome = ended(session, "after the end of stdin", Last::Host).await;
    kit.report.add("end-of-stdin", outcome);
}

/// Why stdin ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The host is gone: an adapter may end its whole process group, and itself with it.
    Host,
    /// The host has said so before.
    Shutdown,
}

async fn shutdown(kit: &mut Kit, session: &mut Session) {
    let greeted = session.initialize().await;
    let answer = match greeted {
        Ok(Reply::Result(_)) => session.call("shutdown", json!({})).await,
        other => other,
    };
    let ended = ended(
        session,
        "after `shutdown` and the end of stdin",
        Last::Shutdown,
    )
    .await;
    let outcome = match answer {
        Ok(Reply::Result(_)) => ended,
        other => Outcome::failed("`shutdown`", instead(&other)),
    };
    kit.report.add("shutdown", outcome);
}

/// The adapter ends by itself, in time, and with 0 or together with its process group.
async fn ended(session: &mut Session, when: &str, last: Last) -> Outcome {
    match session.end().await {
        None => Outcome::failed(when, "it does not end; it was killed"),
        Some((ended, took)) if took > END => Outcome::failed(
            when,
            format!(
                "it took {:.1} s, and has 2 s ({})",
                took.as_secs_f32(),
                ended.status
            ),
        ),
        Some((ended, took)) if ended.status.code() == Some(0) => {
            Outcome::ok(format!("exit code 0 after {} ms", took.as_millis()))
        }
        Some((ended, took)) if last == Last::Host && ended.status.signal() == Some(KILL) => {
            Outcome::ok(format!(
                "took its process group with it after {} ms",
                took.as_millis()
            ))
        }
        Some((ended, _)) => Outcome::failed(when, format!("it ended with {}", ended.status)),
    }
}
