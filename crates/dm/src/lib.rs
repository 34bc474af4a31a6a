//! The device mapper: the table language, the mapped device, and its targets.
//!
//! A [`Table`](table::Table) is read from text, and [`load()`](load::load()) makes a device of it, over the devices that it
//! names.
//!
//! # Write a target
//! A target is a type, which reads the words of a row; a spec, which is what the row says; and the target that is made of
//! it, with a channel for each queue. `xor <byte> <device> <start>` changes what is written to another device, and what is
//! read from it. What a client writes must stay as it is, so a write goes below in a buffer of the target's own. A read goes
//! below in the client's memory, and is changed there on its way back.
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
//!     Alloc, Bio, BioSet, BioSetOptions, Bios, Buffers, Bytes, Channel, ChannelId, DeviceRef, Dispatch,
//!     Geometry, Op, OpenError, Opening, OwnBio, Pad, PadBio, PagePool, PagePoolOptions, Sector, Sectors,
//!     SpanIter, SpanIterMut,
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
//!         let options = PagePoolOptions {
//!             name: "xor data",
//!             largest: LONGEST,
//!             reserve: cx.reserves.buffers,
//!             limit: 64 * LONGEST,
//!             stock: 4 * LONGEST,
//!         };
//!         let pages = PagePool::new(options, cx.source)?;
//!         let (lower, start) = (cx.device(0), self.device.start);
//!         Ok(Box::new(Xor { byte: self.byte, lower, start, clones, pages }))
//!     }
//! }
//!
//! /// The longest write that is taken at once, in bytes; longer ones are split before they come.
//! const LONGEST: usize = 64 << 10;
//!
//! /// The target: a row at work, shared by all queues.
//! struct Xor {
//!     byte: u8,
//!     lower: DeviceRef,
//!     start: Sector,
//!     clones: BioSet<XorIo>,
//!     pages: PagePool,
//! }
//!
//! /// What stands in front of each clone: of a write, the client's bio. Of a read there is nothing, as the client's bio
//! /// waits inside the clone.
//! struct XorIo(Option<Bio>);
//! impl Pad for XorIo {}
//!
//! impl Target for Xor {
//!     // Zeros are changed on their way, too, so the device below cannot make them.
//!     fn geometry(&self) -> Geometry {
//!         Geometry { write_zeroes: false, ..self.lower.geometry() }
//!     }
//!
//!     fn longest(&self, op: Op) -> Bytes {
//!         Bytes(if op == Op::Write { LONGEST as u64 } else { u64::MAX })
//!     }
//!
//!     fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//!         let lower = opening.open(&self.lower)?;
//!         let (clones, pages) = (opening.bios(&self.clones), self.pages.buffers());
//!         Ok(Box::new(XorChannel { byte: self.byte, lower, start: self.start, clones, pages }))
//!     }
//! }
//!
//! /// The channel: one queue's way into the row. It takes no lock and does not wait.
//! struct XorChannel {
//!     byte: u8,
//!     lower: ChannelId,
//!     start: Sector,
//!     clones: Bios<XorIo>,
//!     pages: Buffers,
//! }
//!
//! impl Channel for XorChannel {
//!     fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
//!         if bio.op() == Op::Flush {
//!             return cx.submit(self.lower, bio);
//!         }
//!         // The sectors of a bio are counted from the row's start.
//!         let there = self.start + Sectors(bio.sector().0);
//!         if !bio.op().has_data() {
//!             bio.set_sector(there);
//!             return cx.submit(self.lower, bio);
//!         }
//!         // A clone goes below, so that this channel hears of its end.
//!         let Ok(mut clone) = self.clones.alloc(cx, XorIo(None), Alloc::NoWait) else {
//!             // It comes again when one of the pool's bios is freed.
//!             return self.clones.park(cx, bio);
//!         };
//!         if bio.op() == Op::Read {
//!             clone.clone_of(bio);
//!             clone.set_sector(there);
//!             return cx.submit(self.lower, clone.into_bio());
//!         }
//!         clone.prepare(Op::Write, bio.flags(), there);
//!         self.write(cx, clone, bio);
//!     }
//!
//!     fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
//!         let Ok(mut clone) = self.clones.claim(bio) else { return };
//!         let (status, pages) = (clone.status(), clone.take_pages());
//!         let (written, read) = (clone.pad_mut().0.take(), clone.take_parent());
//!         match (written, pages) {
//!             // It has waited for a buffer, and there is one now.
//!             (Some(bio), None) if status.is_ok() => return self.write(cx, clone, bio),
//!             (Some(bio), pages) => {
//!                 if let Some(pages) = pages {
//!                     self.pages.free(pages);
//!                 }
//!                 self.clones.free(clone);
//!                 cx.complete(bio, status);
//!             }
//!             (None, _) => {
//!                 self.clones.free(clone);
//!                 let Some(mut bio) = read else { return };
//!                 if status.is_ok() {
//!                     let mut data = bio.data_mut();
//!                     let (from, to) = data.in_place();
//!                     self.change(from, to);
//!                 }
//!                 cx.complete(bio, status);
//!             }
//!         }
//!     }
//! }
//!
//! impl XorChannel {
//!     /// Sends what `bio` writes below, in a buffer of the clone's.
//!     fn write(&mut self, cx: &mut Dispatch, mut clone: PadBio<XorIo>, bio: Bio) {
//!         let Some(pages) = self.pages.alloc(cx, bio.len(), Alloc::NoWait) else {
//!             // It ends when there is a buffer for it.
//!             clone.pad_mut().0 = Some(bio);
//!             return clone.wait(&self.pages);
//!         };
//!         clone.set_pages(pages, bio.len());
//!         self.change(bio.data(), clone.data_mut());
//!         clone.pad_mut().0 = Some(bio);
//!         cx.submit(self.lower, clone.into_bio());
//!     }
//!
//!     fn change(&self, mut from: SpanIter<'_>, mut to: SpanIterMut<'_>) {
//!         while !from.is_empty() {
//!             let mut sector = [0; 512];
//!             from.read(&mut sector);
//!             to.write(&sector.map(|byte| byte ^ self.byte));
//!         }
//!     }
//! }
//!
//! /// What the names in tables are: this program has one device, `disk`.
//! struct Disks(DeviceRef);
//!
//! impl Lookup for Disks {
//!     fn device(&self, name: &str, _: u32) -> Result<DeviceRef, LookupError> {
//!         if name == "disk" { Ok(self.0.clone()) } else { Err(LookupError::NotFound) }
//!     }
//! }
//!
//! # use std::sync::Mutex;
//! # use udm_block::Status;
//! # #[derive(Clone)]
//! # struct Disk(Arc<Mutex<Vec<u8>>>);
//! # impl udm_block::Device for Disk {
//! #     fn geometry(&self) -> Geometry {
//! #         Geometry::plain(Sectors(64))
//! #     }
//! #     fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//! #         Ok(Box::new(self.clone()))
//! #     }
//! # }
//! # impl Channel for Disk {
//! #     fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
//! #         let mut disk = self.0.lock().unwrap();
//! #         let start = bio.sector().0 as usize * 512;
//! #         let bytes = start..start + bio.data().len();
//! #         match bio.op() {
//! #             Op::Read => bio.data_mut().write(&disk[bytes]),
//! #             Op::Write => bio.data().read(&mut disk[bytes]),
//! #             _ => {}
//! #         }
//! #         cx.complete(bio, Status::Ok);
//! #     }
//! # }
//! # let disk: DeviceRef = Arc::new(Disk(Arc::new(Mutex::new(vec![0; 64 * 512]))));
//! // The program: it registers the type, and reads tables with it. `disk` is a disk in memory, as the documentation of
//! // `udm-block` has one. It is full of zeros.
//! let mut types = TargetTypes::builtin().clone();
//! types.register(Arc::new(XorType));
//! let source: Source = Arc::new(Heap);
//! let table = Table::parse_with(&types, "0 8 xor 42 disk 16")?;
//! let disks = Disks(Arc::clone(&disk));
//! let device = Blocking::new(Arc::new(load(&table, &disks, &CipherChoice::default(), &source)?))?;
//! device.write_at(1000, &[1, 2, 3])?;
//! device.flush()?;
//! let mut bytes = [0; 5];
//! device.read_at(999, &mut bytes)?;
//! assert_eq!(bytes, [42, 1, 2, 3, 42]);
//!
//! // The row begins at sector 16 of the disk. What shared a block with the bytes was read, and written again.
//! Blocking::new(disk)?.read_at(16 * 512 + 999, &mut bytes)?;
//! assert_eq!(bytes, [0, 1 ^ 42, 2 ^ 42, 3 ^ 42, 0]);
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
