//! Where a header is read from, and written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read at any place: a file, a block device, or memory.
pub trait ReadAt {
    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// Where they cannot be read, or end before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// Where it cannot be found out.
    fn size(&self) -> io::Result<u64>;
}

/// Bytes that can be written, too. Nothing here makes them more than they are.
///
/// What is written is lost with the power until a [`sync`](Self::sync) has ended; so is any part of it, in units of 512
/// bytes. All promises about power cuts rest on that.
pub trait Storage: ReadAt {
    /// Writes all of `bytes` from byte `offset` on.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all that was written outlives a power cut.
    ///
    /// # Errors
    /// Where it does not, or where that cannot be known.
    fn sync(&mut self) -> io::Result<()>;
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &mut T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

impl<T: Storage + ?Sized> Storage for &mut T {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

impl Storage for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Storage for Vec<u8> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let place = start.and_then(|start| self.get_mut(start..start.checked_add(bytes.len())?));
        place.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Memory has nothing to wait for.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    /// The place of the end, which a block device has, too.
    fn size(&self) -> io::Result<u64> {
        Ok(rustix::fs::seek(self, rustix::fs::SeekFrom::End(0))?)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}
