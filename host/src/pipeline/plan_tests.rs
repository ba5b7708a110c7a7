//! Every reason to run and to skip, from caches made by records as a run writes them.

use super::*;
use crate::pipeline::event::{Event, Record, RunStarted, Success, TaskHead, VERSION};
use crate::pipeline::file::StageEntry;
use crate::pipeline::state::RunState;
use crate::pipeline::testing::{items, pipeline, stage};
use crate::pipeline::why::Unfinished;

/// rescue[a] rescue[b] → install[a] install[b] → join → check (always)
fn demo() -> Pipeline {
    pipeline(vec![
        StageEntry {
            for_each: items(&["a", "b"]),
            ..stage("rescue", &[])
        },
        StageEntry {
            for_each: items(&["a", "b"]),
            ..stage("install", &["rescue"])
        },
        stage("join", &["install"]),
        StageEntry {
            cache_key: None,
            ..stage("check", &["join"])
        },
    ])
}

fn fingerprints(tasks: &Tasks) -> Vec<Fingerprint> {
    tasks
        .list
        .iter()
        .map(|task| Fingerprint {
            script: task.name.clone(),
            ..Fingerprint::default()
        })
        .collect()
}

fn begun(run: &str, tasks: Vec<TaskHead>) -> RunState {
    let event = Event::RunStarted(RunStarted {
        tasks,
        ..RunStarted::default()
    });
    let mut state = RunState::default();
    state
        .apply(&Record {
            v: VERSION,
            run: run.into(),
            seq: 0,
            at: String::new(),
            event,
        })
        .unwrap();
    state
}

/// Adds to the cache that these tasks were started in this order and succeeded; a name with `!` failed.
fn ran(cache: &mut Cache, pipeline: &Pipeline, run: &str, names: &[&str]) {
    let tasks = Tasks::of(pipeline).unwrap();
    let heads = tasks.list.iter().map(|task| TaskHead {
        task: task.name.clone(),
        item: task.item_key(pipeline).to_owned(),
        cache_key: task.entry(pipeline).cache_key.clone(),
        ..TaskHead::default()
    });
    let state = begun(run, heads.collect());
    for name in names {
        let (task, fails) = name
            .strip_suffix('!')
            .map_or((*name, false), |name| (name, true));
        let index = tasks
            .list
            .iter()
            .position(|other| other.name == task)
            .unwrap();
        let why = Why::NeverRan;
        let success = Success {
            stamp: cache.next_stamp(),
            fingerprint: fingerprints(&tasks)[index].clone(),
        };
        let started = Event::TaskStarted {
            task: task.into(),
            attempt: 1,
            why,
            log: String::new(),
        };
        let ended = match fails {
            true => Event::TaskFailed {
                task: task.into(),
                attempt: 1,
                seconds: 0.0,
                failure: Default::default(),
                required: true,
            },
            false => Event::TaskSucceeded {
                task: task.into(),
                attempt: 1,
                seconds: 0.0,
                success: Some(success),
            },
        };
        for event in [started, ended] {
            cache.add(
                &state,
                &Record {
                    v: VERSION,
                    run: run.into(),
                    seq: 0,
                    at: String::new(),
                    event,
                },
            );
        }
    }
}

const ALL: [&str; 6] = [
    "rescue[a]",
    "rescue[b]",
    "install[a]",
    "install[b]",
    "join",
    "check",
];

fn lines(
    pipeline: &Pipeline,
    cache: &Cache,
    options: &Options,
    change: impl Fn(&str, &mut Fingerprint),
) -> Vec<String> {
    let tasks = Tasks::of(pipeline).unwrap();
    let mut fingerprints = fingerprints(&tasks);
    for (task, fingerprint) in tasks.list.iter().zip(&mut fingerprints) {
        change(&task.name, fingerprint);
    }
    let plan = plan(
        pipeline,
        &tasks,
        &fingerprints.iter().collect::<Vec<_>>(),
        cache,
        options,
    )
    .unwrap();
    let action = |why: &Why| if why.runs() { "run" } else { "skip" };
    tasks
        .list
        .iter()
        .zip(&plan.why)
        .map(|(task, why)| format!("{} {}: {why}", action(why), task.name))
        .collect()
}

#[test]
fn at_first_everything_runs_and_then_only_what_always_runs() {
    let mut cache = Cache::default();
    assert_eq!(
        lines(&demo(), &cache, &Options::default(), |_, _| ()),
        [
            "run rescue[a]: never ran",
            "run rescue[b]: never ran",
            "run install[a]: never ran",
            "run install[b]: never ran",
            "run join: never ran",
            "run check: always runs",
        ]
    );
    ran(&mut cache, &demo(), "R1", &ALL);
    assert_eq!(
        lines(&demo(), &cache, &Options::default(), |_, _| ()),
        [
            "skip rescue[a]: done in run R1",
            "skip rescue[b]: done in run R1",
            "skip install[a]: done in run R1",
            "skip install[b]: done in run R1",
            "skip join: done in run R1",
            "run check: always runs",
        ]
    );
}

#[test]
fn a_change_runs_what_stands_behind_it_on_the_same_machine() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    let changed = lines(&demo(), &cache, &Options::default(), |name, fingerprint| {
        if name == "rescue[a]" {
            fingerprint.context.insert("disk".into(), "new".into());
        }
    });
    assert_eq!(
        changed,
        [
            "run rescue[a]: context changed: disk",
            "skip rescue[b]: done in run R1",
            "run install[a]: rescue[a] runs",
            "skip install[b]: done in run R1",
            "run join: install[a] runs",
            "run check: always runs",
        ]
    );
}

#[test]
fn what_was_interrupted_between_two_stages_goes_on() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    // The second run did `rescue[a]` again, failed in `install[b]`, and got no further.
    ran(&mut cache, &demo(), "R2", &["rescue[a]", "install[b]!"]);
    assert_eq!(
        lines(&demo(), &cache, &Options::default(), |_, _| ()),
        [
            "skip rescue[a]: done in run R2",
            "skip rescue[b]: done in run R1",
            "run install[a]: rescue[a] ran again since",
            "run install[b]: failed in run R2",
            "run join: install[b] runs",
            "run check: always runs",
        ]
    );
}

#[test]
fn a_start_without_an_end_undoes_an_earlier_success() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    let head = TaskHead {
        task: "join".into(),
        cache_key: Some("join".into()),
        ..TaskHead::default()
    };
    let event = Event::TaskStarted {
        task: "join".into(),
        attempt: 1,
        why: Why::Only,
        log: String::new(),
    };
    let record = Record {
        v: VERSION,
        run: "R2".into(),
        seq: 0,
        at: String::new(),
        event,
    };
    cache.add(&begun("R2", vec![head]), &record);
    assert_eq!(
        cache.entry("join", ""),
        Some(&Entry::Unfinished {
            run: "R2".into(),
            how: Unfinished::Lost
        })
    );
    assert_eq!(
        lines(&demo(), &cache, &Options::default(), |_, _| ())[4],
        "run join: did not finish in run R2"
    );
}

#[test]
fn a_renamed_stage_does_not_run_again() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    let mut renamed = demo();
    renamed.stages[2].name = "bootstrap".into();
    renamed.stages[3].needs = vec!["bootstrap".into()];
    let same_script = |name: &str, fingerprint: &mut Fingerprint| {
        if name == "bootstrap" {
            fingerprint.script = "join".into();
        }
    };
    assert_eq!(
        lines(&renamed, &cache, &Options::default(), same_script)[4],
        "skip bootstrap: done in run R1"
    );
}

#[test]
fn a_new_machine_runs_alone_and_what_joins_runs_again() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    let mut grown = demo();
    for stage in &mut grown.stages[..2] {
        stage.for_each = items(&["a", "b", "c"]);
    }
    let lines = lines(&grown, &cache, &Options::default(), |_, _| ());
    assert_eq!(lines[2..3], ["run rescue[c]: never ran"]);
    assert_eq!(
        lines[3..7],
        [
            "skip install[a]: done in run R1",
            "skip install[b]: done in run R1",
            "run install[c]: never ran",
            "run join: install[c] runs",
        ]
    );
}

#[test]
fn the_operator_has_the_last_word() {
    let mut cache = Cache::default();
    ran(&mut cache, &demo(), "R1", &ALL);
    let from = Options {
        from: Some("install".into()),
        ..Options::default()
    };
    assert_eq!(
        lines(&demo(), &Cache::default(), &from, |_, _| ()),
        [
            "skip rescue[a]: before --from install",
            "skip rescue[b]: before --from install",
            "run install[a]: --from install",
            "run install[b]: --from install",
            "run join: --from install",
            "run check: --from install",
        ]
    );
    let only = Options {
        only: Some("join".into()),
        ..Options::default()
    };
    assert_eq!(
        lines(&demo(), &cache, &only, |_, _| ())[3..],
        [
            "skip install[b]: --only join",
            "run join: --only",
            "skip check: --only join",
        ]
    );
    let everything = Options {
        skip_cache: true,
        ..Options::default()
    };
    assert!(
        lines(&demo(), &cache, &everything, |_, _| ())
            .iter()
            .all(|line| line.ends_with(": --skip-cache"))
    );
    let wrong = Options {
        only: Some("instal".into()),
        ..Options::default()
    };
    let tasks = Tasks::of(&demo()).unwrap();
    let failure = plan(
        &demo(),
        &tasks,
        &fingerprints(&tasks).iter().collect::<Vec<_>>(),
        &cache,
        &wrong,
    )
    .unwrap_err();
    assert_eq!(
        (failure.message.as_str(), failure.help.as_deref()),
        (
            "the pipeline has no stage `instal`",
            Some("did you mean `install`?")
        )
    );
}

#[test]
fn a_stage_with_nothing_to_do_is_skipped_even_when_asked_for() {
    let mut demo = demo();
    demo.stages[2].skip_if_empty = Some("WORKER_NODES".into());
    demo.stages[0].for_each = items(&[]);
    let only = Options {
        only: Some("join".into()),
        ..Options::default()
    };
    let first = lines(&demo, &Cache::default(), &only, |_, _| ());
    assert_eq!(first[0], "skip rescue: nothing to run it for");
    assert_eq!(first[3], "skip join: WORKER_NODES is empty");
    demo.env.insert("WORKER_NODES".into(), "w1".into());
    assert_eq!(
        lines(&demo, &Cache::default(), &only, |_, _| ())[3],
        "run join: --only"
    );
}

/// The demo with stages that destroy data: check (not destructive) → rescue → install.
fn destructive() -> Pipeline {
    let mut demo = demo();
    demo.stages[0].destructive = true;
    demo.stages[1].destructive = true;
    demo.stages[0].needs = vec!["look".into()];
    demo.stages.insert(0, stage("look", &[]));
    demo
}

#[test]
fn what_destroys_data_runs_again_only_when_asked_for_or_behind_something_that_does() {
    let mut cache = Cache::default();
    let all: Vec<&str> = ["look"].into_iter().chain(ALL).collect();
    ran(&mut cache, &destructive(), "R1", &all);
    let changed = |name: &str, fingerprint: &mut Fingerprint| match name {
        "look" => fingerprint.script = "new".into(),
        "install[a]" => drop(fingerprint.context.insert("disk".into(), "new".into())),
        _ => {}
    };
    assert_eq!(
        lines(&destructive(), &cache, &Options::default(), changed),
        [
            "run look: script changed",
            "skip rescue[a]: done in run R1; look runs, but it destroys data: only --only or --from runs it again",
            "skip rescue[b]: done in run R1; look runs, but it destroys data: only --only or --from runs it again",
            "skip install[a]: done in run R1; context changed: disk, but it destroys data: only --only or --from runs it again",
            "skip install[b]: done in run R1; look runs, but it destroys data: only --only or --from runs it again",
            "run join: look runs",
            "run check: always runs",
        ]
    );
    let only = Options {
        only: Some("rescue[a]".into()),
        ..Options::default()
    };
    assert_eq!(
        lines(&destructive(), &cache, &only, |_, _| ())[..3],
        [
            "skip look: --only rescue[a]",
            "run rescue[a]: --only",
            "skip rescue[b]: --only rescue[a]",
        ]
    );
    ran(&mut cache, &destructive(), "R2", &["rescue[a]"]);
    assert_eq!(
        lines(&destructive(), &cache, &Options::default(), |_, _| ())[1..5],
        [
            "skip rescue[a]: done in run R2",
            "skip rescue[b]: done in run R1",
            "run install[a]: rescue[a] ran again since",
            "skip install[b]: done in run R1",
        ]
    );
}
