//! Plugins: adapters as something that is published, installed and verified.
//!
//! ```text
//! publish: executables ─► tree (index, sums, signatures)          check reads the tree as an operator will
//! install: source ─► tree (signature, key, serial, expiry) ─► choice ─► store ─► record
//! ```
//!
//! Nothing of a plugin runs here: `commands` starts adapters, and only ones whose bytes were verified.

pub(crate) mod agreed;
pub(crate) mod certificates;
pub(crate) mod check;
pub(crate) mod claim;
pub(crate) mod environments;
pub(crate) mod follow;
pub(crate) mod head;
pub(crate) mod index;
pub(crate) mod inputs;
pub(crate) mod install;
pub(crate) mod locked;
pub(crate) mod mirror;
pub(crate) mod name;
pub(crate) mod own;
pub(crate) mod pace;
pub(crate) mod powers;
pub(crate) mod previous;
pub(crate) mod projects;
pub(crate) mod publish;
pub(crate) mod registry;
pub(crate) mod remembered;
pub(crate) mod seen;
pub(crate) mod signature;
pub(crate) mod signed;
pub(crate) mod source;
pub(crate) mod store;
pub(crate) mod tables;
pub(crate) mod taken_back;
pub(crate) mod tree;
pub(crate) mod trust;
pub(crate) mod unfit;
pub(crate) mod upgrade;
pub(crate) mod web;
pub(crate) mod yank;
