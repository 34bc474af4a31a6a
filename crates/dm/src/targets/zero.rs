//! `zero`: reads as zeros, and forgets what is written (the kernel's `dm-zero.c`).

use std::fmt;

use udm_block::{Bio, Channel, Dispatch, Geometry, LONGEST_DEVICE, Op, OpenError, Opening, Status};

use super::{BuildContext, Target, TargetSpec, TargetType};
use crate::load::LoadError;
use crate::table::{ArgWriter, Args, TableError, reason};

/// The target type `zero`.
pub struct ZeroType;

/// A `zero` row. It has no arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZeroSpec;

/// Ends every bio at once.
pub struct Zero;

/// A queue's way into it.
struct ZeroChannel;

impl TargetType for ZeroType {
    fn name(&self) -> &'static str {
        "zero"
    }

    // not on the I/O path: once a row
    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        args.none("zero", Some(reason::NO_ARGUMENTS))?;
        Ok(Box::new(ZeroSpec))
    }
}

impl TargetSpec for ZeroSpec {
    fn target_type(&self) -> &dyn TargetType {
        &ZeroType
    }

    fn write(&self, _: &mut ArgWriter<'_, '_>) -> fmt::Result {
        Ok(())
    }

    // not on the I/O path: once a table
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        Ok(Box::new(Zero))
    }
}

impl Target for Zero {
    fn geometry(&self) -> Geometry {
        Geometry::stacked(LONGEST_DEVICE, [])
    }

    // not on the I/O path: once a channel
    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ZeroChannel))
    }

    fn has_cache(&self) -> bool {
        false
    }
}

impl Channel for ZeroChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        if bio.op() == Op::Read {
            bio.data_mut().fill(0);
        }
        cx.complete(bio, Status::Ok);
    }
}
