//! The adapter as a program of its own.

fn main() -> std::process::ExitCode {
    ztc_adapter_sdk::serve(ztc_adapter_cilium::Cilium)
}
