//! A `delay` row: how it is read, printed, and made a target.

use std::fmt;

use udm_dm::load::LoadError;
use udm_dm::table::{ArgWriter, Args, Fault, KernelReason, TableError, TableErrorKind, Word, reason};
use udm_dm::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType};

use super::Delay;
use super::spec::DelaySpec;

/// The target type `delay`.
pub struct DelayType;

const WORDS: KernelReason = KernelReason { errno: 22, text: "Requires exactly 3, 6 or 9 arguments" };
const DELAY: KernelReason = KernelReason { errno: 22, text: "Invalid delay" };
const FORM: &str =
    "write <device> <offset> <delay in ms>, once, twice (reads, writes) or three times (flushes)";

impl TargetType for DelayType {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        let words = args.words();
        if ![3, 6, 9].contains(&words.len()) {
            return Err(args.wrong_count("a delay row needs 3, 6 or 9 words", 9, FORM, WORDS));
        }
        let mut spec = DelaySpec { devices: Vec::new(), delays_ms: Vec::new() };
        for at in (0..words.len()).step_by(3) {
            spec.devices.push(args.device(at, args.length, reason::DEVICE_START)?);
            spec.delays_ms.push(delay(&words[at + 2])?);
        }
        Ok(Box::new(spec))
    }
}

/// A delay in milliseconds.
fn delay(word: &Word<'_>) -> Result<u32, TableError> {
    let number = word.number("the delay", Some(DELAY))?;
    u32::try_from(number).map_err(|_| {
        let message = format!("the delay is {number} ms");
        let hint = "give at most 4294967295 (49 days)";
        word.fault(Fault::new(TableErrorKind::Number, message, number.to_string(), hint))
    })
}

impl TargetSpec for DelaySpec {
    fn target_type(&self) -> &dyn TargetType {
        &DelayType
    }

    fn devices(&self) -> &[DeviceArg] {
        &self.devices
    }

    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        self.devices.iter().zip(&self.delays_ms).try_for_each(|(device, delay)| {
            args.device(device)?;
            args.arg(delay)
        })
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        let devices = (0..self.devices.len()).map(|index| cx.device(index)).collect();
        Ok(Box::new(Delay::new(self.clone(), devices, cx.source, cx.reserves)?))
    }
}
