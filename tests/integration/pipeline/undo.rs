//! Rollback and reset.

use super::*;

/// Four stages, of which three can be undone; each writes what it does.
fn undoable(broken: bool) -> (Vec<Value>, Vec<(&'static str, &'static str)>) {
    let undo = |name: &str| {
        with(
            stage(name),
            json!({ "rollback": format!("fake://un-{name}.sh") }),
        )
    };
    let stages = vec![
        undo("base"),
        with(undo("install"), json!({ "for_each": items(&["a", "b"]) })),
        stage("wait"),
        undo("join"),
    ];
    let unjoin = match broken {
        true => "echo un-join >> order; exit 1",
        false => "echo un-join again >> order",
    };
    let scripts = vec![
        ("base", "echo base >> order"),
        ("un-base", "echo un-base >> order"),
        (
            "install!",
            ". \"$ZTC_CONTEXT_SH\"; echo install $CTX_ITEM_NAME >> order",
        ),
        (
            "un-install",
            ". \"$ZTC_CONTEXT_SH\"; echo un-install $CTX_ITEM_NAME >> order",
        ),
        ("wait", "echo wait >> order"),
        ("join", "echo join >> order"),
        ("un-join", unjoin),
    ];
    (stages, scripts)
}

const BOOTSTRAP: [&str; 5] = ["bootstrap", "--confirm", "test", "--jobs", "1"];

#[test]
fn what_ran_behind_a_stage_is_undone_in_the_reverse_order() {
    let (stages, scripts) = undoable(true);
    let pipe = Pipe::new(&stages, &scripts);
    insta::assert_snapshot!(pipe.environment.ztc_ok(&["rollback", "--to", "base"]), @"
    exit: 0
    --- stdout
    STAGE    ITEM  ACTION  WHY
    join           skip    nothing to undo
    install  a     skip    nothing to undo
    install  b     skip    nothing to undo
    --- stderr
    0 of 3 tasks are undone
    warning: nothing undoes `wait` of `test`: they stay as they are
    ✓ there is nothing to undo
    ");
    pipe.environment.ztc_ok(&BOOTSTRAP);
    assert_eq!(
        pipe.read("order"),
        "base\ninstall a\ninstall b\nwait\njoin\n"
    );
    insta::assert_snapshot!(pipe.fails(&["rollback", "--to", "base"], 5), @"
    exit: 5
    --- stdout
    STAGE    ITEM  ACTION  WHY
    join           run     rollback to base
    install  a     run     rollback to base
    install  b     run     rollback to base
    --- stderr
    3 of 3 tasks are undone
    warning: nothing undoes `wait` of `test`: they stay as they are
    error: this is to be confirmed, and nobody is there; nothing has been done
      help: read the list above; then run `ztc rollback --to base --yes`
    ");
    insta::assert_snapshot!(pipe.fails(&["rollback", "--to", "bas", "--yes"], 2), @"
    exit: 2
    --- stderr
    error: the pipeline has no stage `bas`
      help: did you mean `base`?
    ");
    pipe.environment
        .ztc_ok(&["rollback", "--to", "base", "--dry-run"]);
    assert_eq!(pipe.read("order").lines().count(), 5);
    // It stops where it fails, and goes on there.
    let failed = pipe.fails(&["rollback", "--to", "base", "--yes", "--jobs", "1"], 1);
    assert!(
        failed.stderr.contains("go on:      ztc rollback --to base"),
        "{failed}"
    );
    let (stages, scripts) = undoable(false);
    pipe.render(&stages, &scripts);
    pipe.environment
        .ztc_ok(&["rollback", "--to", "base", "--yes", "--jobs", "1"]);
    let order = pipe.read("order");
    assert_eq!(
        order.lines().skip(5).collect::<Vec<_>>(),
        ["un-join", "un-join again", "un-install a", "un-install b"]
    );
    let run = pipe
        .environment
        .ztc_ok(&["rollback", "--to", "base", "--yes"]);
    assert!(run.stderr.contains("there is nothing to undo"), "{run}");
    assert_eq!(pipe.status()["kind"]["rollback"]["to"], "base");
    // What was undone runs again, and so does what came after it.
    let plan = pipe.environment.ztc_ok(&["plan", "--json"]).json();
    let tasks: Vec<String> = plan["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            let reason = task["why"]["how"]
                .as_str()
                .or(task["why"]["reason"].as_str());
            format!(
                "{} {} {}",
                task["task"].as_str().unwrap(),
                task["action"].as_str().unwrap(),
                reason.unwrap()
            )
        })
        .collect();
    assert_eq!(
        tasks,
        [
            "base skip cached",
            "install[a] run undone",
            "install[b] run undone",
            "wait run need_runs_again",
            "join run undone",
        ]
    );
}

#[test]
fn a_killed_rollback_goes_on() {
    let (stages, mut scripts) = undoable(false);
    let killing =
        "[ -e killed ] || { touch killed; kill -9 $PPID; sleep 1000; }; echo un-join >> order";
    scripts.last_mut().unwrap().1 = killing;
    let pipe = Pipe::new(&stages, &scripts);
    pipe.environment.ztc_ok(&BOOTSTRAP);
    let killed = pipe.ztc(&["rollback", "--to", "base", "--yes"]);
    assert_eq!(killed.code, None, "{killed}");
    pipe.environment
        .ztc_ok(&["rollback", "--to", "base", "--yes", "--jobs", "1"]);
    let order = pipe.read("order");
    assert_eq!(
        order.lines().skip(5).collect::<Vec<_>>(),
        ["un-join", "un-install a", "un-install b"]
    );
}

#[test]
fn a_reset_forgets_but_never_that_a_disk_was_written() {
    let (stages, scripts) = undoable(false);
    let pipe = Pipe::new(&stages, &scripts);
    insta::assert_snapshot!(pipe.environment.ztc_ok(&["reset", "--yes"]), @"
    exit: 0
    --- stderr
    ✓ nothing of `test` is known that could be forgotten
    ");
    pipe.environment.ztc_ok(&BOOTSTRAP);
    pipe.environment
        .write("secrets/test/kubeconfig", "precious");
    insta::assert_snapshot!(pipe.fails(&["reset"], 5), @"
    exit: 5
    --- stderr
    these are forgotten and run again: base, join, wait
    these destroyed data and stay known, so that no disk is wiped again (`--destructive` forgets them too): install[a], install[b]
    secrets, logs and journals stay
    error: this is to be confirmed, and nobody is there; nothing has been done
      help: read the list above; then run `ztc reset --yes`
    ");
    let reset = pipe
        .environment
        .ztc_ok(&["reset", "--yes", "--json"])
        .json();
    assert_eq!(reset["forgotten"], json!(["base", "join", "wait"]));
    assert_eq!(reset["kept"], json!(["install[a]", "install[b]"]));
    let runs = |pipe: &Pipe| -> Vec<String> {
        let plan = pipe.environment.ztc_ok(&["plan", "--json"]).json();
        let tasks = plan["tasks"].as_array().unwrap().clone();
        tasks
            .iter()
            .filter(|task| task["action"] == "run")
            .map(|task| task["task"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(runs(&pipe), ["base", "wait", "join"]);
    let plan = pipe.environment.ztc_ok(&["plan"]);
    insta::assert_snapshot!(keys::steady(&plan.stdout), @"
    STAGE    ITEM  ACTION  WHY
    base           run     was forgotten by reset [RUN]
    install  a     skip    done in run [RUN]; base runs, but it destroys data: only --only or --from runs it again
    install  b     skip    done in run [RUN]; base runs, but it destroys data: only --only or --from runs it again
    wait           run     was forgotten by reset [RUN]
    join           run     was forgotten by reset [RUN]
    ");
    // An old journal does not bring back what was forgotten.
    fs::remove_dir_all(pipe.path(".zerotouch-cache/stage-cache")).unwrap();
    assert_eq!(runs(&pipe), ["base", "wait", "join"]);
    assert_eq!(pipe.status()["outcome"], "succeeded");
    insta::assert_snapshot!(pipe.fails(&["reset", "--destructive"], 5), @"
    exit: 5
    --- stderr
    these are forgotten and run again: install[a], install[b]
    that includes what destroyed data: THE NEXT BOOTSTRAP WIPES THOSE DISKS AGAIN, with everything that the cluster holds by then
    secrets, logs and journals stay
    error: forgetting what destroyed data lets it be destroyed again, and nobody is there to confirm it
      help: read the list above; then run `ztc reset --destructive --confirm test`
    ");
    pipe.fails(&["reset", "--destructive", "--confirm", "prod"], 5);
    pipe.environment
        .ztc_ok(&["reset", "--destructive", "--confirm", "test"]);
    assert_eq!(
        runs(&pipe),
        ["base", "install[a]", "install[b]", "wait", "join"]
    );
    assert_eq!(pipe.read("secrets/test/kubeconfig"), "precious");
}
