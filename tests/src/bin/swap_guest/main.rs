//! What runs in the guest of `cargo xtask vm-swap`: gives a served export to the kernel's nbd driver, and a program that
//! needs more memory than the machine has and checks every page of it.
//!
//! ```text
//! swap_guest attach SOCKET EXPORT DEVICE    returns when the device is detached
//! swap_guest detach DEVICE
//! swap_guest touch MIB SEED PASSES
//! ```

mod attach;
mod touch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["attach", socket, export, device] => attach::attach(socket, export, device),
        ["detach", device] => attach::detach(device),
        ["touch", mib, seed, passes] => touch::run(mib, seed, passes),
        _ => Err("usage: attach SOCKET EXPORT DEVICE | detach DEVICE | touch MIB SEED PASSES".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swap_guest: {error}");
            ExitCode::FAILURE
        }
    }
}
