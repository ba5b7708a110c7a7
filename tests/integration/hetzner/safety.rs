//! Servers that must be left alone, and what must not be left behind: keys, servers that are off, images that nobody has checked.

use super::*;

#[test]
fn a_key_that_cannot_be_deleted_fails_its_stage_and_the_next_run_deletes_it() {
    let (environment, lab) = one();
    lab.fault("keys-stay=2");
    environment.ztc_ok(&RESCUE);
    assert_no_keys(&lab);

    lab.fault("keys-stay=99");
    let again = [
        "bootstrap",
        "--from",
        "enable_rescue_mode",
        "--confirm",
        "lab",
    ];
    lab.power_off("cp01");
    let run = environment.ztc(&again);
    insta::assert_snapshot!(ending(&lab, &run));
    assert_eq!(lab.state()["ssh_keys"].as_array().unwrap().len(), 1);
    lab.mend();
    environment.ztc_ok(&BOOTSTRAP);
    assert_no_keys(&lab);
    assert_eq!(lab.state()["ready"], json!(["cp01"]));
    insta::assert_snapshot!(log(&environment, &lab, "enable_rescue_mode"));
}

#[test]
fn a_server_that_somebody_else_works_on_is_left_to_him() {
    let (environment, lab) = one();
    // The state directory tells whose key it is, and a clone has its own.
    let clone = environment.root().join("clone");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&environment.repo(), &clone])
        .status()
        .unwrap();
    assert!(copied.success());
    let _ = fs::remove_dir_all(clone.join(".zerotouch-cache"));
    let mut child = environment
        .command(&RESCUE)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait(&lab, "the key", |state| state["ssh_keys"] != json!([]));
    let clone = clone.display().to_string();
    let there: Vec<&str> = ["-C", &clone].into_iter().chain(RESCUE).collect();
    let run = environment.ztc(&there);
    let text = ending(&lab, &run);
    assert!(
        text.contains("error: somebody else works on server `cp01` ([IP CP01]): the project has the temporary SSH key"),
        "{text}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    environment.ztc_ok(&BOOTSTRAP);
    assert_no_keys(&lab);
    assert_eq!(lab.state()["nodes"][0]["wiped_after_boot"], 0);
}

#[test]
fn an_interrupted_rescue_boot_says_how_it_leaves_the_server() {
    let (environment, lab) = one();
    let child = environment
        .command(&RESCUE)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(&lab, "the end of the power", |state| {
        state["nodes"][0]["power"] == "off"
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let text = lab.filtered(&String::from_utf8_lossy(&output.stderr));
    let sentence = "stopped: enable_rescue_mode[cp01]: server `cp01` ([IP CP01]) is left switched off: `ztc bootstrap` goes on with it";
    assert!(text.contains(sentence), "{text}");
    environment.ztc_ok(&BOOTSTRAP);
    assert_no_keys(&lab);
}

#[test]
fn no_server_is_switched_off_while_another_one_is_refused() {
    let (environment, lab) = rendered(&["--nodes", "3"]);
    lab.fault("protected");
    let run = environment.ztc(&BOOTSTRAP);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("`check_servers[cp01]` failed"), "{run}");
    assert_untouched(&lab);
    lab.mend();
    environment.ztc_ok(&BOOTSTRAP);
    assert_eq!(lab.state()["ready"].as_array().unwrap().len(), 3);
    // What is a node by now is no reason to stop, whatever the checks were made of.
    environment.ztc_ok(&["reset", "--yes"]);
    environment.ztc_ok(&["bootstrap", "--only", "check_servers"]);
}

#[test]
fn a_clone_of_the_repository_wipes_no_node_whether_it_is_on_or_off() {
    let (environment, lab) = rendered(&["--nodes", "2"]);
    environment.ztc_ok(&BOOTSTRAP);
    lab.power_off("worker01");
    let before = lab.state()["actions"].clone();
    fs::remove_dir_all(environment.repo().join(".zerotouch-cache")).unwrap();
    let refused = |arguments: &[&str]| {
        let run = environment.ztc(arguments);
        let state = lab.state();
        assert_eq!(state["actions"], before, "{run}");
        ending(&lab, &run)
    };
    let off = "bootstrap --only enable_rescue_mode[worker01] --confirm lab";
    let off: Vec<&str> = off.split(' ').collect();
    insta::assert_snapshot!(refused(&off));
    assert!(refused(&BOOTSTRAP).contains("is node `"));

    // The control plane too: nobody can be asked then.
    lab.power_off("cp01");
    let before = lab.state()["actions"].clone();
    let run = environment.ztc(&off);
    assert_eq!(lab.state()["actions"], before);
    insta::assert_snapshot!(ending(&lab, &run));
    assert_eq!(lab.installs().values().sum::<u64>(), 2);
}

#[test]
fn a_checksum_counts_in_every_usual_form_and_only_not_found_means_that_there_is_none() {
    let (environment, lab) = one();
    lab.fault("checksum-outage=99");
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_snapshot!(ending(&lab, &run));
    assert_eq!(lab.state()["nodes"][0]["disk"], "old_system");
    lab.mend();
    lab.fault("checksum-outage=1");
    lab.fault("checksum-bsd");
    environment.ztc_ok(&BOOTSTRAP);
    let log = log(&environment, &lab, "install_talos");
    assert!(
        log.contains("the factory publishes the image's sha256: "),
        "{log}"
    );
    assert_eq!(lab.state()["ready"], json!(["cp01"]));
}
