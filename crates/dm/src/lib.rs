//! The device mapper: the table language, the mapped device, and its targets.
//!
//! A [`Table`](table::Table) is read from text, and [`load()`](load::load()) makes a device of it, over the devices that it
//! names.
//!
//! # Write a target
//! A target is a type, which reads the words of a row; a spec, which is what the row says; and the target that is made of
//! it, with a channel for each queue. `xor <byte> <device> <start>` reads another device, and changes what is read. It takes
//! no writes: for these it would need buffers, since what a client writes must stay as it is.
//!
//! The crate `udm-targets` has more. The documentation of its module `striped` has the rules step by step, and `delay` shows
//! how a target keeps bios.
//!
//! ```
//! use std::fmt;
//! use std::sync::Arc;
//!
//! use udm_block::blocking::Blocking;
//! use udm_block::memory::{Heap, Source};
//! use udm_block::{
//!     Alloc, Bio, BioSet, BioSetOptions, Bios, Channel, ChannelId, DeviceRef, Dispatch, Geometry, Op,
//!     OpenError, Opening, OwnBio, Pad, Sector, Sectors, Status,
//! };
//! use udm_dm::load::{LoadError, Lookup, LookupError, load};
//! use udm_dm::table::{ArgWriter, Args, Fault, Table, TableError, TableErrorKind, reason};
//! use udm_dm::targets::crypt::CipherChoice;
//! use udm_dm::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType, TargetTypes};
//!
//! /// The type: it reads the words of a row.
//! struct XorType;
//!
//! impl TargetType for XorType {
//!     fn name(&self) -> &'static str {
//!         "xor"
//!     }
//!
//!     fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
//!         if args.words().len() != 3 {
//!             let needs = "an xor row needs 3 words";
//!             let hint = "write <byte> <device> <start>";
//!             return Err(args.wrong_count(needs, 3, hint, reason::ARGUMENT_COUNT));
//!         }
//!         let word = &args.words()[0];
//!         let byte = u8::try_from(word.number("the byte", None)?).map_err(|_| {
//!             let message = format!("the byte is {}", &**word);
//!             word.fault(Fault::new(TableErrorKind::Number, message, &**word, "write 0 to 255"))
//!         })?;
//!         Ok(Box::new(XorSpec { byte, device: args.device(1, args.length, reason::DEVICE_START)? }))
//!     }
//! }
//!
//! /// The spec: what a row says. A table keeps it and prints it.
//! #[derive(PartialEq, Debug)]
//! struct XorSpec {
//!     byte: u8,
//!     device: DeviceArg,
//! }
//!
//! impl TargetSpec for XorSpec {
//!     fn target_type(&self) -> &dyn TargetType {
//!         &XorType
//!     }
//!
//!     fn devices(&self) -> &[DeviceArg] {
//!         std::slice::from_ref(&self.device)
//!     }
//!
//!     fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
//!         args.arg(self.byte)?;
//!         args.device(&self.device)
//!     }
//!
//!     fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
//!         let options = BioSetOptions { reserve: cx.reserves.bios, ..BioSetOptions::named("xor clones") };
//!         let clones = BioSet::new(&options, cx.source)?;
//!         Ok(Box::new(Xor { byte: self.byte, lower: cx.device(0), start: self.device.start, clones }))
//!     }
//! }
//!
//! /// The target: a row at work, shared by all queues.
//! struct Xor {
//!     byte: u8,
//!     lower: DeviceRef,
//!     start: Sector,
//!     clones: BioSet<XorIo>,
//! }
//!
//! /// What stands in front of each clone: nothing here.
//! struct XorIo;
//! impl Pad for XorIo {}
//!
//! impl Target for Xor {
//!     fn geometry(&self) -> Geometry {
//!         Geometry { read_only: true, ..self.lower.geometry() }
//!     }
//!
//!     fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//!         let lower = opening.open(&self.lower)?;
//!         let clones = opening.bios(&self.clones);
//!         Ok(Box::new(XorChannel { byte: self.byte, lower, start: self.start, clones }))
//!     }
//! }
//!
//! /// The channel: one queue's way into the row. It takes no lock and does not wait.
//! struct XorChannel {
//!     byte: u8,
//!     lower: ChannelId,
//!     start: Sector,
//!     clones: Bios<XorIo>,
//! }
//!
//! impl Channel for XorChannel {
//!     fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
//!         if bio.op() != Op::Read {
//!             return cx.complete(bio, Status::Ok);
//!         }
//!         // A clone goes below, so that this channel hears of its end. The bio waits inside.
//!         let Ok(mut clone) = self.clones.alloc(cx, XorIo, Alloc::NoWait) else {
//!             // It comes again when one of the pool's bios is freed.
//!             return self.clones.park(cx, bio);
//!         };
//!         // The sectors of a bio are counted from the row's start.
//!         let there = self.start + Sectors(bio.sector().0);
//!         clone.clone_of(bio);
//!         clone.set_sector(there);
//!         cx.submit(self.lower, clone.into_bio());
//!     }
//!
//!     fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
//!         let Ok(mut clone) = self.clones.claim(bio) else { return };
//!         let (status, parent) = (clone.status(), clone.take_parent());
//!         self.clones.free(clone);
//!         let Some(mut bio) = parent else { return };
//!         if status.is_ok() {
//!             let mut data = bio.data_mut();
//!             while !data.is_empty() {
//!                 let mut sector = [0; 512];
//!                 data.as_iter().read(&mut sector);
//!                 data.write(&sector.map(|byte| byte ^ self.byte));
//!             }
//!         }
//!         cx.complete(bio, status);
//!     }
//! }
//!
//! /// What the names in tables are: this program has one device, `disk`, or none.
//! struct Disks(Option<DeviceRef>);
//!
//! impl Lookup for Disks {
//!     fn device(&self, name: &str, _: u32) -> Result<DeviceRef, LookupError> {
//!         self.0.clone().filter(|_| name == "disk").ok_or(LookupError::NotFound)
//!     }
//! }
//!
//! // The program: it registers the type, and reads tables with it.
//! let mut types = TargetTypes::builtin().clone();
//! types.register(Arc::new(XorType));
//! let source: Source = Arc::new(Heap);
//! let cipher = CipherChoice::default();
//!
//! let zeros = Table::parse("0 64 zero")?;
//! let disks = Disks(Some(Arc::new(load(&zeros, &Disks(None), &cipher, &source)?)));
//! let table = Table::parse_with(&types, "0 8 xor 42 disk 16")?;
//! let device = Blocking::new(Arc::new(load(&table, &disks, &cipher, &source)?))?;
//! let mut bytes = [0; 3];
//! device.read_at(1000, &mut bytes).map_err(|status| format!("{status:?}"))?;
//! assert_eq!(bytes, [42; 3]);
//!
//! let error = Table::parse_with(&types, "0 8 xor 256 disk 16").err().ok_or("256 is no byte")?;
//! assert_eq!((error.line(), error.column()), (1, 9));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod keyring;
pub mod load;
pub mod managed;
pub mod mapped;
pub mod table;
pub mod targets;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
