//! A `striped` row: how it is read, printed, and made a target.

use std::fmt;

use udm_block::Sectors;
use udm_dm::load::LoadError;
use udm_dm::table::{
    ArgWriter, Args, Fault, KernelReason, TableError, TableErrorKind, Word, counted, reason,
};
use udm_dm::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType};

use super::Striped;
use super::spec::StripedSpec;

/// The target type `striped`.
pub struct StripedType;

const STRIPES: KernelReason = einval("Invalid stripe count");
const CHUNK: KernelReason = einval("Invalid chunk_size");
const NOT_BY_STRIPES: KernelReason = einval("Target length not divisible by number of stripes");
const NOT_BY_CHUNK: KernelReason = einval("Target length not divisible by chunk size");
const DESTINATIONS: KernelReason = einval("Not enough destinations specified");
const DESTINATION: KernelReason = einval("Couldn't parse stripe destination");

const fn einval(text: &'static str) -> KernelReason {
    KernelReason { errno: 22, text }
}

/// Which argument is the chunk size.
const CHUNK_WORD: usize = 1;
const FORM: &str = "write <#stripes> <chunk size> and <device> <offset> for each stripe";

impl TargetType for StripedType {
    fn name(&self) -> &'static str {
        "striped"
    }

    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        let [stripes_word, chunk_word, rest @ ..] = args.words() else {
            let needs = "a striped row needs 2 words and 2 for each stripe";
            return Err(args.wrong_count(needs, 2, FORM, reason::NOT_ENOUGH_ARGUMENTS));
        };
        let stripes = count(stripes_word, "the number of stripes", STRIPES)?;
        let chunk = count(chunk_word, "the chunk size", CHUNK)?;
        let length = check_length(args, stripes, chunk)?;
        if rest.len() as u64 != 2 * u64::from(stripes) {
            return Err(wrong_destinations(args, stripes, rest.len()));
        }
        let device = |stripe: usize| args.device(2 + 2 * stripe, length, DESTINATION);
        let devices = (0..stripes as usize).map(device).collect::<Result<_, _>>()?;
        Ok(Box::new(StripedSpec { chunk, devices }))
    }
}

impl TargetSpec for StripedSpec {
    fn target_type(&self) -> &dyn TargetType {
        &StripedType
    }

    fn devices(&self) -> &[DeviceArg] {
        &self.devices
    }

    fn sectors_per_device(&self, length: Sectors) -> Sectors {
        Sectors(length.0 / self.devices.len() as u64)
    }

    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        args.arg(self.devices.len())?;
        args.arg(self.chunk)?;
        self.devices.iter().try_for_each(|device| args.device(device))
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        let devices: Vec<_> = (0..self.devices.len()).map(|stripe| cx.device(stripe)).collect();
        let block = devices.iter().map(|device| device.geometry().logical_block).max().unwrap_or(512);
        if !u64::from(self.chunk).is_multiple_of(u64::from(block / 512)) {
            let message = format!("the chunk size is not a multiple of the block size, {block} bytes");
            let found = counted(u64::from(self.chunk), "sector");
            let hint = format!("use a multiple of {} sectors", block / 512);
            return Err(cx
                .error_at(CHUNK_WORD, Fault::new(TableErrorKind::Device, message, found, hint))
                .into());
        }
        Ok(Box::new(Striped::new(self.clone(), devices, cx.source, cx.reserves)?))
    }
}

/// A number from 1 to 2^32 - 1, which `what` names.
fn count(word: &Word<'_>, what: &str, kernel: KernelReason) -> Result<u32, TableError> {
    let number = word.number(what, Some(kernel))?;
    u32::try_from(number).ok().filter(|&number| number > 0).ok_or_else(|| {
        let message = format!("{what} is {number}");
        let hint = "give a number from 1 to 4294967295";
        word.fault(Fault::new(TableErrorKind::Number, message, number.to_string(), hint).with_kernel(kernel))
    })
}

/// The sectors of one stripe, where the row's length divides into whole chunks for each.
fn check_length(args: &Args<'_>, stripes: u32, chunk: u32) -> Result<Sectors, TableError> {
    let (length, stripes) = (args.length.0, u64::from(stripes));
    let multiple = stripes * u64::from(chunk);
    let fault = |what: String, kernel| {
        let message = format!("the row's length is {length}, which is not a multiple of {what}");
        let hint = format!("write a multiple of {multiple} (stripes times chunk size)");
        let fault = Fault::new(TableErrorKind::Alignment, message, length.to_string(), hint);
        Err(args.length_word().fault(fault.with_kernel(kernel)))
    };
    if !length.is_multiple_of(stripes) {
        return fault(format!("the {}", counted(stripes, "stripe")), NOT_BY_STRIPES);
    }
    if !length.is_multiple_of(multiple) {
        return fault(format!("{} of {chunk}", counted(stripes, "chunk")), NOT_BY_CHUNK);
    }
    Ok(Sectors(length / stripes))
}

/// The error of a row with `there` words after the chunk size.
fn wrong_destinations(args: &Args<'_>, stripes: u32, there: usize) -> TableError {
    let found = counted(there as u64, "word");
    let stripes = u64::from(stripes);
    let message = format!(
        "{} need {} after the chunk size, and have {there}",
        counted(stripes, "stripe"),
        counted(2 * stripes, "word")
    );
    let fault = Fault::new(TableErrorKind::Words, message, found, FORM).with_kernel(DESTINATIONS);
    let at = usize::try_from(2 * stripes).ok().and_then(|words| args.words().get(2 + words));
    at.unwrap_or(args.last_word()).fault(fault)
}
