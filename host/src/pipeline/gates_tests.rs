//! Stages without a script: health gates against real sockets and programs, and questions to a person. They wait for events only.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpListener;

use tokio::sync::mpsc;
use ztc_protocol::health::{Health, HttpProbe, Manual};
use ztc_protocol::stage::{AfterFailure, Stage};

use crate::pipeline::event::Outcome;
use crate::pipeline::file::{Kind, StageEntry};
use crate::pipeline::gates::check;
use crate::pipeline::manual::{Desk, Question};
use crate::pipeline::testing::{Bench, Ran, items, stage};

fn fast() -> Health {
    Health {
        interval_seconds: 0.01,
        max_interval_seconds: 0.02,
        ..Health::default()
    }
}

fn gate(name: &str, health: Health) -> StageEntry {
    StageEntry {
        kind: Kind::Health,
        script: String::new(),
        health: Some(health),
        ..stage(name, &[])
    }
}

fn question(name: &str, instructions: &str) -> StageEntry {
    StageEntry {
        kind: Kind::Manual,
        script: String::new(),
        manual: Some(Manual {
            instructions: instructions.into(),
        }),
        ..stage(name, &[])
    }
}

fn outcome(ran: &Ran) -> Outcome {
    ran.state.outcome.unwrap().0
}

/// Answers one request after the other with these statuses, the last one for ever.
fn server(statuses: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        let mut status = "";
        for stream in listener.incoming() {
            status = statuses.next().unwrap_or(&status);
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    url
}

#[tokio::test]
async fn an_answer_counts_when_it_comes_often_enough_in_a_row() {
    let url = server(&[
        "503 No",
        "200 OK",
        "302 Found",
        "200 OK",
        "204 OK",
        "200 OK",
    ]);
    let http = Some(HttpProbe {
        url: url.clone(),
        ..HttpProbe::default()
    });
    let health = Health {
        http,
        successes: 3,
        ..fast()
    };
    let bench = Bench::new(vec![(gate("ready", health), "")]);
    let ran = bench.run().await;
    assert_eq!(outcome(&ran), Outcome::Succeeded);
    assert_eq!(
        ran.log(&bench, "ready"),
        format!(
            "{url}: status 503; again in 0.01 s\nhealthy (1 of 3)\n{url}: status 302; again in 0.01 s\n\
             healthy (1 of 3)\nhealthy (2 of 3)\nhealthy (3 of 3)\n"
        )
    );
    assert_eq!(
        bench.run().await.summary(),
        ["ready skipped: done in run EARLIER"]
    );
}

#[tokio::test]
async fn a_port_is_waited_for_item_by_item() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut entry = gate(
        "port",
        Health {
            tcp: Some("127.0.0.1:${CTX_PORT}".into()),
            ..fast()
        },
    );
    let mut each = items(&["a"]).unwrap();
    each.items[0]
        .context
        .insert("port".into(), port.clone().into());
    entry.for_each = Some(each);
    let bench = Bench::new(vec![(entry, "")]);
    let listener = RefCell::new(None);
    let ran = bench
        .run_with(|line| {
            assert!(
                line.starts_with("127.0.0.1:") || line == "healthy (1 of 1)",
                "{line}"
            );
            if line.ends_with("again in 0.01 s") && listener.borrow().is_none() {
                *listener.borrow_mut() =
                    Some(TcpListener::bind(format!("127.0.0.1:{port}")).unwrap());
            }
            false
        })
        .await;
    assert_eq!(ran.summary(), ["port[a] done: never ran"]);
    assert_eq!(
        ran.lines[0],
        format!("127.0.0.1:{port}: Connection refused (os error 111); again in 0.01 s")
    );
}

#[tokio::test]
async fn a_program_is_asked_and_its_last_words_are_the_reason() {
    let command = |text: &str| Some(vec!["bash".to_owned(), "-c".to_owned(), text.to_owned()]);
    let health = Health {
        command: command(
            "echo x >> asked; echo noise; [ $(wc -l < asked) = 3 ] || { echo not yet >&2; exit 4; }",
        ),
        ..fast()
    };
    let bench = Bench::new(vec![(gate("program", health), "")]);
    let ran = bench.run().await;
    assert_eq!(outcome(&ran), Outcome::Succeeded);
    assert_eq!(
        ran.log(&bench, "program"),
        "`bash` ended with exit status: 4: noise; again in 0.01 s\n`bash` ended with exit status: 4: noise; again in 0.01 s\nhealthy (1 of 1)\n"
    );
    // One that hangs is ended with what it started, and so is the wait as a whole.
    let health = Health {
        command: command("mkfifo alive; sleep 1000 > alive & cat alive"),
        probe_timeout_seconds: 0.1,
        interval_seconds: 1000.0,
        max_interval_seconds: 1000.0,
        ..Health::default()
    };
    let mut entry = gate("hangs", health);
    entry.timeout = 1;
    let bench = Bench::new(vec![(entry, "")]);
    let ran = bench.run().await;
    let failure = ran.failure("hangs");
    assert_eq!(failure.status, "not healthy after 1 s");
    assert_eq!(
        failure.last_lines,
        ["`bash`: no answer within 0.1 s; again in 1000 s"]
    );
    assert_eq!(outcome(&ran), Outcome::Failed);
}

#[tokio::test]
async fn a_person_is_asked_unless_everything_was_confirmed() {
    let mut bench = Bench::new(vec![
        (question("cable", "plug $WHAT in\nand look at the lamp"), ""),
        (stage("after", &["cable"]), "true"),
    ]);
    bench.pipeline.env.insert("WHAT".into(), "cp01".into());
    let ran = bench.run().await;
    assert_eq!(ran.failure("cable").status, "not confirmed");
    for (answer, expected) in [(false, Outcome::Failed), (true, Outcome::Succeeded)] {
        let (desk, mut questions) = mpsc::unbounded_channel::<Question>();
        bench.desk = Desk::Person(desk);
        let person = tokio::spawn(async move {
            let question = questions.recv().await.unwrap();
            question.done.send(answer).unwrap();
            (question.task, question.instructions)
        });
        let ran = bench.run().await;
        assert_eq!(outcome(&ran), expected);
        assert_eq!(
            person.await.unwrap(),
            (
                "cable".to_owned(),
                "plug cp01 in\nand look at the lamp".to_owned()
            )
        );
    }
    let mut bench = Bench::new(vec![(question("cable", "plug it in"), "")]);
    bench.desk = Desk::Yes;
    let ran = bench.run().await;
    assert_eq!(ran.log(&bench, "cable"), "plug it in\nconfirmed by --yes\n");
    assert_eq!(outcome(&ran), Outcome::Succeeded);
}

#[tokio::test]
async fn an_interrupt_ends_a_wait_for_health_and_for_a_person() {
    let (desk, _questions) = mpsc::unbounded_channel::<Question>();
    let health = Health {
        command: Some(vec!["false".into()]),
        interval_seconds: 1000.0,
        max_interval_seconds: 1000.0,
        ..Health::default()
    };
    let mut bench = Bench::new(vec![
        (question("cable", "plug it in"), ""),
        (gate("ready", health), ""),
    ]);
    bench.desk = Desk::Person(desk);
    let ran = bench.run_with(|line| line.contains("again in")).await;
    assert_eq!(
        ran.summary(),
        ["cable stopped: never ran", "ready stopped: never ran"]
    );
}

#[tokio::test]
async fn a_terminal_that_closes_interrupts_and_does_not_say_no() {
    let health = Health {
        command: Some(
            [
                "bash",
                "-c",
                "until [ -e gone ]; do sleep 0.01; done; false",
            ]
            .map(String::from)
            .to_vec(),
        ),
        interval_seconds: 1000.0,
        max_interval_seconds: 1000.0,
        ..Health::default()
    };
    let mut bench = Bench::new(vec![
        (question("cable", "plug it in"), ""),
        (gate("ready", health), ""),
    ]);
    let (desk, mut questions) = mpsc::unbounded_channel::<Question>();
    bench.desk = Desk::Person(desk);
    let gone = bench.directory.join("gone");
    // What is read from the terminal ends first; the signal comes after it.
    tokio::spawn(async move {
        drop(questions.recv().await);
        std::fs::write(gone, "").unwrap();
    });
    let ran = bench.run_with(|line| line.contains("again in")).await;
    assert_eq!(
        ran.summary(),
        ["cable stopped: never ran", "ready stopped: never ran"]
    );
}

#[tokio::test]
async fn a_secret_that_a_program_has_colored_reaches_no_record() {
    let bench = Bench::new(vec![(
        stage("loud", &[]),
        "printf 'it is tok\\033[31men-\\033[m12345\\nZTC_CAUSE: tok\\033[31men-12345\\n'; exit 1",
    )]);
    bench.mask.add("token", "token-12345");
    let ran = bench.run().await;
    let failure = ran.failure("loud");
    assert_eq!(failure.last_lines, ["it is ********"]);
    assert_eq!(failure.cause.as_deref(), Some("********"));
    assert_eq!(ran.lines, ["it is ********", "ZTC_CAUSE: ********"]);
}

#[tokio::test]
async fn what_comes_after_a_failure_decides_itself() {
    let wary = |name: &str, needs: &[&str]| StageEntry {
        after_failure: AfterFailure::Skip,
        ..stage(name, needs)
    };
    let mut bench = Bench::new(vec![
        (
            StageEntry {
                required: false,
                ..stage("optional", &[])
            },
            "exit 1",
        ),
        (stage("bold", &["optional"]), "true"),
        (wary("wary", &["optional"]), "true"),
        (wary("warier", &["wary"]), "true"),
        (wary("elsewhere", &[]), "true"),
    ]);
    let ran = bench.run().await;
    assert_eq!(
        ran.summary(),
        [
            "optional failed: never ran",
            "bold done: never ran",
            "wary skipped: optional failed",
            "warier skipped: wary failed",
            "elsewhere done: never ran",
        ]
    );
    assert_eq!(outcome(&ran), Outcome::Degraded);
    bench.script("optional", "true");
    assert_eq!(
        bench.run().await.summary(),
        [
            "optional done: failed in run EARLIER",
            "bold done: optional runs",
            "wary done: never ran",
            "warier done: never ran",
            "elsewhere skipped: done in run EARLIER",
        ]
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let said = |stage: Stage| check(&stage);
    assert_eq!(
        said(Stage {
            script: "demo://a.sh".into(),
            health: Some(Health {
                tcp: Some("nowhere".into()),
                http: Some(HttpProbe {
                    url: "ftp://x".into(),
                    ..HttpProbe::default()
                }),
                backoff_factor: 0.5,
                successes: 0,
                ..Health::default()
            }),
            manual: Some(Manual::default()),
            ..Stage::default()
        }),
        [
            "it has script and health and manual, and may have one of them",
            "`health` must have exactly one of `http`, `tcp` and `command`",
            "`health.http.url` is `ftp://x`, and must begin with `http://` or `https://`",
            "`health.tcp` is `nowhere`, and must be `host:port`",
            "`health.backoff_factor` is 0.5, and must be at least 1",
            "`health.successes` is 0: nothing would be asked",
            "`manual.instructions` are empty: nobody would know what to do",
        ]
    );
    for (address, parts) in [
        ("10.0.0.1:50000", Some(("10.0.0.1", 50000))),
        ("[fd00::1]:6443", Some(("fd00::1", 6443))),
        ("fd00::1:6443", None),
        ("host", None),
        (":80", None),
    ] {
        assert_eq!(super::split(address), parts, "{address}");
    }
}
