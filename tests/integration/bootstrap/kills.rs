//! SIGKILL at moments that nobody chose, against the lab: the next run always ends with a cluster that is Ready, and no disk
//! is written twice.
//!
//! The moments come from a number that is printed with a failure and can be given back in `ZTC_TEST_SEED`.

use std::time::Duration;

use super::*;

/// How many times ztc is killed altogether, in how many worlds, and how many of these there are at the same time.
const KILLS: usize = 100;
const WORLDS: usize = 10;
const AT_ONCE: usize = 2;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Runs a bootstrap and kills it some time after it has got a little further. Whether it was still alive is all the same.
fn run_and_kill(environment: &TestEnv, dice: &mut Dice) {
    let mut command = environment.command(&["bootstrap", "--confirm", "lab", "--json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut steps = dice.roll(6);
    let pause = Duration::from_millis(dice.roll(60));
    for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_step = event["event"] == "task_started" || event["event"] == "task_succeeded";
        if is_step && steps == 0 {
            break;
        }
        steps -= u64::from(is_step);
    }
    // The moment between two events is what is looked for here, and nothing tells of it.
    std::thread::sleep(pause);
    let _ = child.kill();
    child.wait().unwrap();
}

fn world(seed: u64) {
    let mut dice = Dice(seed);
    let (environment, lab) = rendered(&[]);
    for _ in 0..KILLS / WORLDS {
        run_and_kill(&environment, &mut dice);
    }
    environment.ztc_ok(&BOOTSTRAP);
    assert_installed_once(&lab);
    let plan = environment.ztc_ok(&["plan", "--json"]).json();
    let again = plan["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["action"] == "run" && task["why"]["reason"] != "always_runs");
    assert_eq!(again.count(), 0, "{plan:#}");
}

#[test]
fn a_hundred_kills_at_random_are_survived() {
    let seed = std::env::var("ZTC_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_121);
    let worlds: Vec<u64> = (0..WORLDS as u64)
        .map(|world| seed + world * 7919)
        .collect();
    for some in worlds.chunks(AT_ONCE) {
        let running: Vec<_> = some
            .iter()
            .map(|seed| {
                let seed = *seed;
                (seed, std::thread::spawn(move || world(seed)))
            })
            .collect();
        for (world, thread) in running {
            let survived = thread.join().is_ok();
            assert!(
                survived,
                "in the world of {world}, the first being ZTC_TEST_SEED={seed}"
            );
        }
    }
}
