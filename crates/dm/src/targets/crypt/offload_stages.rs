//! The stages of a clone with an asynchronous driver.

use udm_block::{Dispatch, PadBio, Pages};
use udm_crypto::{Answer, Direction, Job};

use super::channel::CryptChannel;
use super::conversion::{Sent, total};
use super::convert::after;
use super::crypt_io::{Conversion, CryptIo, Stage};

impl CryptChannel {
    /// Begins with the clone's first sector.
    pub(super) fn begin_conversion(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        let volume = &*self.volume;
        let (Some(of_all), Some(own)) = (&volume.offload, &mut self.offload) else {
            return self.fail(cx, clone);
        };
        // For all sectors, though a number may wrap among them and so make two requests of them.
        let units = volume.converter.most_units().min(total(&clone) / volume.converter.unit_size());
        let takes_memory = of_all.bytes_per_unit > 0;
        let asks = takes_memory && units > 1 && !clone.is_single_unit();
        let memory = if asks { own.ask(cx, units * of_all.bytes_per_unit) } else { None };
        if takes_memory && memory.is_none() {
            clone.mark_single_unit();
        }
        let conversion = Conversion::new(&clone, &volume.converter, memory);
        clone.pad_mut().stage = Stage::Cipher(conversion);
        self.request_next(cx, clone);
    }

    /// The driver has carried a request out, or takes requests again.
    pub(super) fn go_on(&mut self, cx: &mut Dispatch, mut clone: PadBio<CryptIo>) {
        let (CryptIo { writes, stage, .. }, data) = clone.pad_and_data_mut();
        if let Stage::Cipher(conversion) = stage
            && conversion.len > 0
        {
            let mut numbered = conversion.numbered(writes.as_ref(), data);
            if self.volume.converter.iv().after(&mut numbered).is_err() {
                return self.fail(cx, clone);
            }
        }
        if let Stage::Cipher(conversion) = &mut clone.pad_mut().stage {
            conversion.done += conversion.len;
            conversion.sector = after(conversion.sector, conversion.len);
            conversion.len = 0;
        }
        self.request_next(cx, clone);
    }

    /// Gives the driver the next request of the clone, or ends the stage when there is none.
    fn request_next(&mut self, cx: &mut Dispatch, clone: PadBio<CryptIo>) {
        let (total, single) = (total(&clone), clone.is_single_unit());
        let (converter, Some(own)) = (&self.volume.converter, &mut self.offload) else {
            return self.fail(cx, clone);
        };
        let Some(mut clone) = own.backlog.hold(clone) else { return };
        // It is taken out of the pad, for the IV mode looks at the clone's data while it makes the IVs.
        let Stage::Cipher(mut conversion) = std::mem::replace(&mut clone.pad_mut().stage, Stage::Below)
        else {
            return self.fail(cx, clone);
        };
        if conversion.done == total {
            return self.finish(cx, clone, conversion);
        }
        let left = if single { converter.unit_size() } else { total - conversion.done };
        let run = converter.run(conversion.sector, left);
        let is_set_up = conversion.set_up(&mut clone, converter, run).is_ok();
        clone.pad_mut().stage = Stage::Cipher(conversion);
        if !is_set_up {
            return self.fail(cx, clone);
        }
        match converter.cipher(run.key).start(Job::new(Sent(clone))) {
            Answer::Busy => own.backlog.is_full = true,
            Answer::Done | Answer::Queued => {}
        }
    }

    /// All sectors are converted.
    fn finish(&mut self, cx: &mut Dispatch, clone: PadBio<CryptIo>, mut conversion: Conversion) {
        if let Some(memory) = conversion.take_memory() {
            self.free_optional(memory);
        }
        match conversion.direction {
            Direction::Encrypt => self.send(cx, clone),
            Direction::Decrypt => self.end(cx, clone),
        }
    }

    /// Takes back what a conversion was given.
    pub(super) fn free_optional(&mut self, memory: Pages) {
        match &mut self.offload {
            Some(own) => own.optional.free(memory),
            None => drop(memory),
        }
    }
}
