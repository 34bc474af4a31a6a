//! Lends a connection to the kernel's nbd driver (`linux/nbd.h`): the handshake is done here, and the kernel does the
//! rest. This process sleeps in the kernel meanwhile, and no I/O passes through it.
#![allow(unsafe_code)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use rustix::ioctl::{IntegerSetter, Opcode, ioctl};

const NBD_SET_SOCK: Opcode = 0xab00;
const NBD_SET_BLKSIZE: Opcode = 0xab01;
const NBD_DO_IT: Opcode = 0xab03;
const NBD_CLEAR_SOCK: Opcode = 0xab04;
const NBD_SET_SIZE_BLOCKS: Opcode = 0xab07;
const NBD_DISCONNECT: Opcode = 0xab08;
const NBD_SET_FLAGS: Opcode = 0xab0a;

/// The block size that the kernel is told, in bytes: a page, as swap is written.
const BLOCK: u64 = 4096;

/// Attaches `device` to the export at `socket`. Returns when it is detached.
pub fn attach(socket: &str, export: &str, device: &str) -> Result<(), Box<dyn Error>> {
    let mut server = UnixStream::connect(socket)?;
    let (size, flags) = handshake(&mut server, export)?;
    let device = OpenOptions::new().read(true).write(true).open(device)?;
    tell::<NBD_SET_BLKSIZE>(&device, BLOCK)?;
    tell::<NBD_SET_SIZE_BLOCKS>(&device, size / BLOCK)?;
    tell::<NBD_SET_FLAGS>(&device, flags.into())?;
    tell::<NBD_SET_SOCK>(&device, server.as_fd().as_raw_fd() as u64)?;
    tell::<NBD_DO_IT>(&device, 0)?;
    tell::<NBD_CLEAR_SOCK>(&device, 0)
}

/// Has the kernel say goodbye to the server.
pub fn detach(device: &str) -> Result<(), Box<dyn Error>> {
    tell::<NBD_DISCONNECT>(&OpenOptions::new().read(true).write(true).open(device)?, 0)
}

fn tell<const CALL: Opcode>(device: &File, value: u64) -> Result<(), Box<dyn Error>> {
    // SAFETY: the nbd driver's calls take a number, and touch no memory of this process.
    let told = unsafe { ioctl(device, IntegerSetter::<CALL>::new_usize(value as usize)) };
    Ok(told.map_err(|error| format!("nbd call {CALL:#x} with {value}: {error}"))?)
}

/// The shortest handshake (the protocol's `NBD_OPT_EXPORT_NAME`): the export's size in bytes and its flags.
fn handshake(server: &mut UnixStream, export: &str) -> Result<(u64, u16), Box<dyn Error>> {
    let mut greeting = [0; 18];
    server.read_exact(&mut greeting)?;
    if greeting[..16] != *b"NBDMAGICIHAVEOPT" {
        return Err("this is no NBD server".into());
    }
    // Fixed newstyle, without zeros at the end.
    let mut wish = 3u32.to_be_bytes().to_vec();
    wish.extend(b"IHAVEOPT");
    wish.extend(1u32.to_be_bytes());
    wish.extend((export.len() as u32).to_be_bytes());
    wish.extend(export.as_bytes());
    server.write_all(&wish)?;
    let (mut size, mut flags) = ([0; 8], [0; 2]);
    server.read_exact(&mut size)?;
    server.read_exact(&mut flags)?;
    Ok((u64::from_be_bytes(size), u16::from_be_bytes(flags)))
}
