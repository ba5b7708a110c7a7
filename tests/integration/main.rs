//! The integration tests: the real `ztc`, built by cargo, run in a hermetic environment, its whole output compared.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests start the programs under test themselves"
)]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod adapters;
mod attach;
mod bootstrap;
mod cilium;
mod client;
mod distribution;
mod distribution_advice;
mod distribution_authors;
mod distribution_broken;
mod distribution_edges;
mod distribution_environments;
mod distribution_examples;
mod distribution_fields;
mod distribution_finding;
mod distribution_https;
mod distribution_interrupt;
mod distribution_kills;
mod distribution_known;
mod distribution_lab;
mod distribution_lasting;
mod distribution_list;
mod distribution_lock;
mod distribution_locked;
mod distribution_mirror;
mod distribution_neighbors;
mod distribution_oci;
mod distribution_oci_attacks;
mod distribution_offer;
mod distribution_offered_again;
mod distribution_powers;
mod distribution_precedence;
mod distribution_publish;
mod distribution_renewal;
mod distribution_robust;
mod distribution_rotation;
mod distribution_run;
mod distribution_shell;
mod distribution_shown;
mod distribution_signed;
mod distribution_special;
mod distribution_strict;
mod distribution_taken_back;
mod distribution_team;
mod distribution_trust;
mod distribution_unsigned;
mod distribution_upgrade;
mod distribution_versions;
mod distribution_wire;
mod distribution_workflow;
mod environment;
mod guards;
mod hetzner;
mod init;
mod input;
mod kit;
mod leaks;
mod needs;
mod pipeline;
mod render;
mod sandbox;
mod schemas;
mod talos;
mod terminal;
mod tidy;
mod typable;
mod validate_config;
mod versions;
mod web;
