//! The descriptors of a request: for each unit where it is and its IV, with a sum by which their loss is seen. They are in
//! memory of the caller's, which an engine reads by itself.

use udm_block::memory::splitmix64;
use udm_block::{Span, SpanMut};

use crate::error::CryptError;
use crate::job::Job;
use crate::request::{IvRule, Request, WideIv};

/// The bytes of a descriptor: the place, the IV, the sum.
pub(super) const DESCRIPTOR: usize = 8 + size_of::<WideIv>() + 8;

/// Writes the descriptors of a request of several units for a cipher with IVs of `iv_size` bytes.
///
/// # Errors
/// [`CryptError::NoMemory`].
pub(super) fn describe(job: &mut Job, iv_size: usize) -> Result<(), CryptError> {
    let (request, mut memory) = job.request_and_memory();
    write(&request, &mut memory, iv_size)
}

/// Writes those of `request` into `memory`.
///
/// # Errors
/// [`CryptError::NoMemory`].
pub(super) fn write(
    request: &Request<'_>,
    memory: &mut SpanMut<'_>,
    iv_size: usize,
) -> Result<(), CryptError> {
    if request.units() == 1 {
        return Ok(());
    }
    if memory.len() < request.units() * DESCRIPTOR {
        return Err(CryptError::NoMemory);
    }
    for unit in 0..request.units() {
        let mut descriptor = [0; DESCRIPTOR];
        descriptor[..8].copy_from_slice(&((unit * request.unit_size) as u64).to_le_bytes());
        descriptor[8..DESCRIPTOR - 8].copy_from_slice(&iv(&request.iv, unit, iv_size));
        let sum = sum(&descriptor[..DESCRIPTOR - 8]);
        descriptor[DESCRIPTOR - 8..].copy_from_slice(&sum);
        memory.slice(unit * DESCRIPTOR, DESCRIPTOR).write(&descriptor);
    }
    Ok(())
}

/// The place and the IV that the descriptor of `unit` holds; `None` where it is lost.
pub(super) fn read(memory: Span<'_>, unit: usize) -> Option<(usize, WideIv)> {
    let mut descriptor = [0; DESCRIPTOR];
    memory.slice(unit * DESCRIPTOR, DESCRIPTOR).read(&mut descriptor);
    let (content, found) = descriptor.split_at(DESCRIPTOR - 8);
    let (at, iv) = content.split_at(8);
    let at = u64::from_le_bytes(at.try_into().ok()?) as usize;
    (sum(content) == *found).then_some((at, iv.try_into().ok()?))
}

/// Loses the descriptors from that of `unit` on.
pub(super) fn lose(memory: &mut SpanMut<'_>, unit: usize) {
    let len = memory.len() - unit * DESCRIPTOR;
    memory.slice(unit * DESCRIPTOR, len).fill(0);
}

/// The IV of a unit as the cipher takes it, with zeros behind it.
fn iv(rule: &IvRule<'_>, unit: usize, iv_size: usize) -> WideIv {
    fn padded<const N: usize>(rule: &IvRule<'_>, unit: usize) -> WideIv {
        let (mut iv, mut padded) = ([[0; N]], WideIv::default());
        rule.fill(unit, &mut iv);
        padded[..N].copy_from_slice(&iv[0]);
        padded
    }
    match iv_size {
        8 => padded::<8>(rule, unit),
        32 => padded::<32>(rule, unit),
        _ => padded::<16>(rule, unit),
    }
}

/// What tells lost memory from a descriptor: zeros do not have the sum 0.
fn sum(content: &[u8]) -> [u8; 8] {
    let mut sum = 0x6465_7363_7269_6265;
    for word in content.chunks_exact(8) {
        sum ^= u64::from_le_bytes(word.try_into().expect("8 bytes"));
        sum = splitmix64(&mut sum);
    }
    sum.to_le_bytes()
}
