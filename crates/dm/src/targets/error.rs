//! `error`: fails every I/O (the kernel's `dm-target.c`, `io_err_target`).

use std::fmt;

use udm_block::{Bio, Channel, Dispatch, Geometry, LONGEST_DEVICE, OpenError, Opening, Status};

use super::{BuildContext, Target, TargetSpec, TargetType};
use crate::load::LoadError;
use crate::table::{ArgWriter, Args, TableError};

/// The target type `error`.
pub struct ErrorType;

/// An `error` row. It has no arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorSpec;

/// Ends every bio with an I/O error.
pub struct Error;

/// A queue's way into it.
struct ErrorChannel;

impl TargetType for ErrorType {
    fn name(&self) -> &'static str {
        "error"
    }

    // not on the I/O path: once a row
    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        // The kernel takes words here, and does not look at them.
        args.none("error", None)?;
        Ok(Box::new(ErrorSpec))
    }
}

impl TargetSpec for ErrorSpec {
    fn target_type(&self) -> &dyn TargetType {
        &ErrorType
    }

    fn write(&self, _: &mut ArgWriter<'_, '_>) -> fmt::Result {
        Ok(())
    }

    // not on the I/O path: once a table
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        Ok(Box::new(Error))
    }
}

impl Target for Error {
    fn geometry(&self) -> Geometry {
        Geometry::stacked(LONGEST_DEVICE, [])
    }

    // not on the I/O path: once a channel
    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ErrorChannel))
    }

    fn has_cache(&self) -> bool {
        false
    }
}

impl Channel for ErrorChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.complete(bio, Status::IoErr);
    }
}
