//! The hetzner adapter as a program of its own. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    ztc_adapter_sdk::serve(ztc_adapter_hetzner::Hetzner)
}
