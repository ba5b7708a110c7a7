//! Everything that the world knows, and what the passing of time does to it. Other modules read it and ask it to change; it does no network.

use std::collections::BTreeSet;

use crate::cloud::{Action, Budget, Effect, Server, SshKey};
use crate::cluster::Cluster;
use crate::faults::{Fault, Faults};
use crate::image;
use crate::node::Node;
use crate::rescue;
use crate::timing::{Millis, Timing};

/// The world's state.
#[derive(Debug)]
pub(crate) struct State {
    /// Milliseconds since the beginning.
    pub(crate) now: Millis,
    /// How long things take.
    pub(crate) timing: Timing,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// The machines.
    pub(crate) nodes: Vec<Node>,
    /// The project's servers.
    pub(crate) servers: Vec<Server>,
    /// The project's keys.
    pub(crate) keys: Vec<SshKey>,
    /// The project's actions.
    pub(crate) actions: Vec<Action>,
    /// The project's requests.
    pub(crate) budget: Budget,
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// What nobody should have tried: changes to servers that are not ours, writes to devices that are not there.
    pub(crate) violations: Vec<String>,
    /// Requests to the cloud API so far.
    pub(crate) requests: u64,
    /// The schematics that the image factory was told, by their ids.
    pub(crate) schematics: BTreeSet<String>,
    next_id: u64,
    begun: jiff::Timestamp,
}

impl State {
    /// Returns a world in which nothing has happened.
    pub(crate) fn new(
        timing: Timing,
        nodes: Vec<Node>,
        servers: Vec<Server>,
        faults: Faults,
    ) -> Self {
        Self {
            now: 0,
            timing,
            faults,
            nodes,
            servers,
            keys: Vec::new(),
            actions: Vec::new(),
            budget: Budget::default(),
            cluster: Cluster::default(),
            violations: Vec::new(),
            requests: 0,
            schematics: BTreeSet::from([image::VANILLA.to_owned()]),
            next_id: 1000,
            begun: jiff::Timestamp::now(),
        }
    }

    /// Returns an id that was not used before.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// What the cluster's clocks show: they run as fast as the world, so that an order of events is seen in whole seconds.
    pub(crate) fn clock(&self, at: Millis) -> String {
        let passed = jiff::SignedDuration::try_from(self.timing.simulated(at)).unwrap_or_default();
        let time = self.begun.checked_add(passed).unwrap_or(self.begun);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The machine with this address.
    pub(crate) fn node_at(&self, ip: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.ip == ip)
    }

    /// The machine with this address, to change it.
    pub(crate) fn node_at_mut(&mut self, ip: &str) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.ip == ip)
    }

    /// Whether an action runs on a server.
    pub(crate) fn busy(&self, server: u64) -> bool {
        self.actions
            .iter()
            .any(|action| action.server == server && action.effect.is_some())
    }

    /// Notes that one request asked about so many actions that run.
    pub(crate) fn asked_about(&mut self, running: usize) {
        // More than there are servers could never come together.
        let servers = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let wanted = self.faults.count(Fault::ActionsTogether).min(servers);
        if u32::try_from(running).is_ok_and(|running| running >= wanted) {
            self.faults.set(Fault::ActionsTogether, 0);
        }
    }

    /// Begins an action on one of our servers.
    pub(crate) fn begin(&mut self, server: u64, command: String, effect: Effect) -> Action {
        let time = match effect {
            Effect::EnableRescue(_) => self.timing.enable_rescue(),
            _ => self.timing.power(),
        };
        let action = Action {
            id: self.fresh_id(),
            command,
            server,
            from: self.now,
            until: self.now + time,
            effect: Some(effect),
            started: jiff::Timestamp::now().to_string(),
            finished: None,
        };
        self.actions.push(action.clone());
        action
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Millis) {
        self.now = now;
        let mut due = Vec::new();
        let held = self.faults.has(Fault::ActionsTogether);
        for action in &mut self.actions {
            if action.until <= now
                && !held
                && let Some(effect) = action.effect.take()
            {
                action.finished = Some(jiff::Timestamp::now().to_string());
                due.push((action.server, effect));
            }
        }
        for (server, effect) in due {
            self.happen(server, effect);
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].restart_due(now) {
                self.start(index);
            }
            self.nodes[index].tick(now);
        }
        self.tick_cluster();
    }

    fn happen(&mut self, server: u64, effect: Effect) {
        let Some(index) = self.nodes.iter().position(|node| node.server == server) else {
            return;
        };
        let node = &mut self.nodes[index];
        match effect {
            Effect::PowerOff => node.power_off(),
            Effect::PowerOn if node.status() == "off" => self.start(index),
            Effect::PowerOn => {}
            Effect::Reset => self.start(index),
            Effect::EnableRescue(keys) => node.rescue = Some(keys),
            Effect::DisableRescue => node.rescue = None,
        }
    }

    fn start(&mut self, index: usize) {
        let contents = image::inspect(&self.nodes[index].disk);
        let missed =
            self.nodes[index].rescue.is_some() && self.faults.take(Fault::RescueNotEntered);
        rescue::forget(&self.nodes[index].disk);
        self.nodes[index].start(self.now, self.timing, contents, missed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::node::{Boot, Power};

    /// A world with one control plane and one worker, their disks in a directory.
    pub(crate) fn world(directory: &std::path::Path) -> State {
        let nodes: Vec<Node> = ["cp01", "worker01"]
            .iter()
            .zip(11_u64..)
            .map(|(name, number)| {
                let disk = directory.join(name);
                image::old_disk(&disk).unwrap();
                Node::new((*name).into(), format!("127.42.0.{number}"), number, disk)
            })
            .collect();
        let servers = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| Server {
                id: node.server,
                name: node.name.clone(),
                ip: Some(node.ip.clone()),
                node: Some(index),
            })
            .collect();
        State::new(Timing::new(1.0), nodes, servers, Faults::default())
    }

    #[test]
    fn an_action_locks_its_server_until_it_takes_effect() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        let action = state.begin(11, "stop_server".into(), Effect::PowerOff);
        state.tick(action.until - 1);
        assert_eq!(
            (state.busy(11), state.busy(12), state.nodes[0].status()),
            (true, false, "running")
        );
        assert_eq!(state.actions[0].to_json(state.now)["progress"], 99);
        state.tick(action.until);
        assert_eq!((state.busy(11), state.nodes[0].status()), (false, "off"));
        assert_eq!(state.actions[0].to_json(state.now)["status"], "success");
    }

    #[test]
    fn no_more_actions_are_waited_for_than_there_are_servers() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        let servers = state.nodes.len();
        state.faults.set(Fault::ActionsTogether, 99);
        state.asked_about(servers - 1);
        assert!(state.faults.has(Fault::ActionsTogether));
        state.asked_about(servers);
        assert!(!state.faults.has(Fault::ActionsTogether));
    }

    #[test]
    fn a_missed_rescue_boot_is_mended_by_a_power_cycle() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = world(directory.path());
        state.faults.set(Fault::RescueNotEntered, 1);
        state.begin(11, "enable_rescue".into(), Effect::EnableRescue(Vec::new()));
        state.tick(20_000);
        let mut seen = Vec::new();
        for _ in 0..2 {
            state.begin(11, "reset_server".into(), Effect::Reset);
            state.tick(state.now + 10_000);
            state.tick(state.now + 60_000);
            seen.push(state.nodes[0].power.clone());
        }
        assert_eq!(seen, [Power::Up(Boot::OldSystem), Power::Up(Boot::Rescue)]);
    }
}
