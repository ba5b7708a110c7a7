//! The lab from outside: the program, its cloud API, its SSH servers with a real client, and its stand-ins.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod python;
mod reference;
mod support;
mod world;
