//! The integration tests: the real `ztc`, built by cargo, run in a hermetic environment, its whole output compared.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests start the programs under test themselves"
)]

mod bootstrap;
mod environment;
mod input;
mod leaks;
mod render;
mod tidy;
