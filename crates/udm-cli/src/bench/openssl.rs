//! OpenSSL as a peer, by the program that it measures itself with.

use std::process::Command;

use udm_crypto::{Algorithm, Cipher, Direction, Mode};

use super::BenchError;

/// What OpenSSL calls a cipher of ours, where it can measure it, with a key of so many bytes.
pub(super) fn name(algorithm: Algorithm, key_size: usize) -> Option<String> {
    let (mode, bits) = match algorithm.mode {
        Mode::Xts => ("xts", key_size * 4),
        Mode::Cbc => ("cbc", key_size * 8),
        _ => return None,
    };
    (algorithm.cipher == Cipher::Aes).then(|| format!("aes-{bits}-{mode}"))
}

/// The seconds that a byte takes in calls of `unit` bytes, by `openssl speed`: it measures for a second.
///
/// # Errors
/// When the program is not there, or does not say.
pub(super) fn seconds_a_byte(name: &str, direction: Direction, unit: usize) -> Result<f64, BenchError> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-seconds", "1", "-bytes", &unit.to_string(), "-evp", name]);
    if direction == Direction::Decrypt {
        command.arg("-decrypt");
    }
    let output = command.output().map_err(|error| BenchError(format!("openssl: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "+F:22:AES-128-XTS:4936704000.00": bytes a second.
    let rate =
        text.lines().find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next()?.parse::<f64>().ok());
    match rate {
        Some(rate) if output.status.success() && rate > 0.0 => Ok(rate.recip()),
        _ => Err(BenchError(format!("openssl speed does not say how fast {name} is: {}", text.trim()))),
    }
}
