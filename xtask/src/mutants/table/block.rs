//! Faults of the block layer.

use crate::mutants::{Build, Mutant};

const RESCUE: &str = "crates/block/src/rescue.rs";
const DISPATCH: &str = "crates/block/src/dispatch.rs";
const HANDSHAKE: &str = "crates/block/src/handshake.rs";
const MEMPOOL: &str = "crates/block/src/mempool.rs";
const PENDING: &str = "crates/block/src/bio/pending.rs";
const RAW: &str = "crates/block/src/bio/raw/mod.rs";
const BIOS: &str = "crates/block/src/bio/bios.rs";
const IDLE_MEMORY: Build = Build::Tests { package: "udm-block", target: "--test=idle_memory" };
const QUEUE_END: Build = Build::Tests { package: "udm-block", target: "--test=queue_end" };
const FRONT_DOOR: Build = Build::Tests { package: "udm-block", target: "--test=front_door" };

pub const ALL: &[Mutant] = &[
    // Twins of decisions that were made otherwise elsewhere.
    Mutant {
        name: "the bios of every set are punted",
        file: DISPATCH,
        find: "let of_set = |bio: &Bio| bio.set_id() == set && wanted(bio);",
        replace: "let _ = set; let of_set = |bio: &Bio| wanted(bio);",
        build: Build::Model,
        test: "rescue::the_sets_own_bios_are_punted_and_those_of_others_stay_each_in_order",
        says: "left == right",
    },
    Mutant {
        name: "bios are dispatched first in, first out, as before Linux 4.11",
        file: DISPATCH,
        find: "self.older.prepend(&mut same);\n        self.older.prepend(&mut lower);",
        replace: "self.older.append(&mut lower);\n        self.older.append(&mut same);",
        build: Build::Model,
        // The rest waits at the barrier that was raised meanwhile; what is under way waits on the list behind the rest.
        test: "depth_first::a_lower_bio_goes_before_the_rest_that_waits_for_it",
        says: "deadlock!",
    },
    // The rescuer.
    Mutant {
        name: "the rescuer dispatches in reverse",
        file: RESCUE,
        find: "while let Some(mut bio) = bios.pop() {",
        replace: "let mut reversed = crate::bio::BioList::new(); while let Some(bio) = bios.pop() { \
                  let mut one = crate::bio::BioList::new(); one.push(bio); reversed.prepend(&mut one); }\n        \
                  while let Some(mut bio) = reversed.pop() {",
        build: Build::Model,
        test: "rescue::the_sets_own_bios_are_punted_and_those_of_others_stay_each_in_order",
        says: "left == right",
    },
    Mutant {
        name: "the bios of the wrong sets are punted",
        file: DISPATCH,
        find: "bio.set_id() == set",
        replace: "bio.set_id() != set",
        build: Build::Model,
        test: "progress::two_clients_finish_with_three_by_three_pieces",
        says: "deadlock!",
    },
    Mutant {
        name: "the thread's list is not emptied: all but the first bio stay",
        file: DISPATCH,
        find: "let of_set = |bio: &Bio| bio.set_id() == set && wanted(bio);",
        replace: "let first = std::cell::Cell::new(true); \
                  let of_set = |bio: &Bio| bio.set_id() == set && wanted(bio) && first.replace(false);",
        build: Build::Model,
        test: "rescue::the_sets_own_bios_are_punted_and_those_of_others_stay_each_in_order",
        says: "left == right",
    },
    Mutant {
        name: "the older bios of the set are not punted",
        file: DISPATCH,
        find: "taken.append(&mut self.older.take_if(of_set));",
        replace: "taken.append(&mut BioList::new());",
        build: Build::Model,
        test: "rescue::older_bios_of_the_set_are_punted_behind_those_of_the_running_call",
        says: "the set did not go to the rescuer",
    },
    Mutant {
        name: "a message does not wake a queue that sleeps",
        file: HANDSHAKE,
        find: "self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed)",
        replace: "false",
        build: Build::Model,
        test: "messages::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock!",
    },
    Mutant {
        name: "a queue that goes to sleep looks for messages before it says so",
        file: HANDSHAKE,
        find: "self.sleeps.swap(true, Ordering::Relaxed);\n        fence(Ordering::SeqCst);\n        self.has_mail()",
        replace: "let mail = self.has_mail();\n        self.sleeps.swap(true, Ordering::Relaxed);\n        mail",
        build: Build::Model,
        test: "messages::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock!",
    },
    Mutant {
        name: "the rescuer waits for itself when it drops its set",
        file: RESCUE,
        find: "thread.thread().id() != thread::current().id()",
        replace: "true",
        build: Build::Model,
        test: "rescue::a_set_can_be_dropped_on_its_rescuers_thread",
        says: "deadlock!",
    },
    Mutant {
        name: "it sleeps before it punts",
        file: BIOS,
        find: "if let Some(rescuer) = set.rescuer() {",
        replace: "if let memory @ Some(_) = alloc(&mut cx.promise, Alloc::Wait) { return memory; }\n    \
                  if let Some(rescuer) = set.rescuer() {",
        build: Build::Model,
        test: "progress::two_clients_finish_with_three_by_three_pieces_on_a_disk",
        says: "deadlock!",
    },
    // Wake-ups, and the count of pieces.
    Mutant {
        name: "a free wakes no sleeper",
        file: MEMPOOL,
        find: "Some(Next::Sleeper) => break self.turn.notify_all(),",
        replace: "Some(Next::Sleeper) => break,",
        build: Build::Model,
        test: "pools::sleepers_are_woken_by_frees_on_other_threads",
        says: "deadlock!",
    },
    Mutant {
        name: "a sleeper that is served does not see to those behind it",
        file: MEMPOOL,
        find: "self.serve(shared);\n        element",
        replace: "drop(shared);\n        element",
        build: Build::Model,
        test: "pools::two_sleepers_have_the_reserve_of_two_at_once",
        says: "deadlock!",
    },
    Mutant {
        name: "a bio is parked though an element has become free",
        file: MEMPOOL,
        find: "if !shared.reserve.has_for_new() {\n            return shared.reserve.park(bio);",
        replace: "if true {\n            return shared.reserve.park(bio);",
        build: Build::Model,
        test: "pools::parked_bios_are_woken_by_frees_on_another_thread",
        says: "deadlock!",
    },
    Mutant {
        name: "a promise that is not used is lost",
        file: "crates/block/src/promise.rs",
        find: "pool.take_back();",
        replace: "drop(pool);",
        build: Build::Model,
        test: "pools::what_a_woken_bio_does_not_use_goes_to_the_next_and_nobody_overtakes",
        says: "deadlock!",
    },
    Mutant {
        name: "who comes late overtakes those who wait",
        file: "crates/block/src/reserve.rs",
        find: "self.has() && self.serving == self.next_ticket",
        replace: "!self.elements.is_empty()",
        build: Build::Tests { package: "udm-block", target: "--test=fairness" },
        test: "sleepers_and_parked_bios_are_served_in_the_order_in_which_they_came",
        says: "somebody overtook",
    },
    Mutant {
        name: "an allocation that sleeps for a table does not punt",
        file: BIOS,
        find: "alloc(&self.set, cx, how, |promise, how| tables.alloc(len, promise, how))",
        replace: "tables.alloc(len, &mut cx.promise, how)",
        build: Build::Model,
        test: "tables::two_clients_finish_with_one_table",
        says: "deadlock!",
    },
    Mutant {
        name: "the count of pieces is read and written in two steps",
        file: PENDING,
        find: "if self.0.fetch_sub(1, Ordering::Release) != 1 {",
        replace: "let count = self.0.load(Ordering::Acquire); self.0.store(count - 1, Ordering::Release);\n            \
                  if count != 1 {",
        build: Build::Model,
        test: "chains::a_bio_whose_pieces_end_on_three_threads_ends_once",
        says: "deadlock!",
    },
    Mutant {
        name: "the last piece does not wait to see what the others did",
        file: PENDING,
        find: "fence(Ordering::Acquire);",
        replace: "let _ = fence;",
        build: Build::Orders,
        test: "the_last_to_arrive_sees_what_the_others_did",
        says: "Causality violation",
    },
    Mutant {
        name: "a piece ends before what it did can be seen",
        file: PENDING,
        find: "fetch_sub(1, Ordering::Release)",
        replace: "fetch_sub(1, Ordering::Relaxed)",
        build: Build::Orders,
        test: "the_last_to_arrive_sees_what_the_others_did",
        says: "Causality violation",
    },
    Mutant {
        name: "success overwrites an error",
        file: RAW,
        find: "if !status.is_ok() {\n            // The first error sticks, and success never overwrites one.",
        replace: "self.head().status.store(status as u8, Ordering::Relaxed);\n        if !status.is_ok() {",
        build: Build::Model,
        test: "chains::success_on_another_thread_overwrites_no_error",
        says: "ended with the wrong status",
    },
    Mutant {
        name: "a later error overwrites the first",
        file: RAW,
        find: "Status::Ok as u8,\n                status as u8,",
        replace: "self.head().status.load(Ordering::Relaxed),\n                status as u8,",
        build: Build::Model,
        test: "chains::the_first_error_sticks",
        says: "ended with the wrong status",
    },
    // A list, by the ordinary tests.
    Mutant {
        name: "what is put before a list comes in reverse",
        file: "crates/block/src/bio/list.rs",
        find: "reversed.push_front(bio);",
        replace: "reversed.push(bio);",
        build: Build::Tests { package: "udm-block", target: "--lib" },
        test: "bio::tests::a_list_keeps_its_order",
        says: "left == right",
    },
    // Memory that nobody uses, and bios that nobody waits for.
    Mutant {
        name: "large pieces that nobody uses keep their room",
        file: "crates/block/src/classes.rs",
        find: ".or_else(|| self.evict(fits, true))",
        replace: "",
        build: IDLE_MEMORY,
        test: "a_burst_of_large_buffers_leaves_room_for_small_ones",
        says: "after a burst of",
    },
    Mutant {
        name: "queues keep all of a limit",
        file: "crates/block/src/share.rs",
        find: "most: limit / 2,",
        replace: "most: limit,",
        build: IDLE_MEMORY,
        test: "idle_queues_leave_bios_to_others",
        says: "assertion failed",
    },
    Mutant {
        name: "a stock that ends gives no room back",
        file: "crates/block/src/stock.rs",
        find: "options.share.give(self.room * options.layout.size());",
        replace: "let _ = options;",
        build: Build::Tests { package: "udm-block", target: "--lib" },
        test: "stock::tests::no_more_than_the_share_is_kept_and_a_stock_that_ends_gives_it_back",
        says: "left == right",
    },
    Mutant {
        name: "two channels, one after the other, have one number",
        file: "crates/block/src/channels.rs",
        find: "self.slots[index].generation.wrapping_add(1)",
        replace: "self.slots[index].generation",
        build: QUEUE_END,
        test: "a_message_to_a_channel_that_was_closed_does_not_reach_the_next_one_in_its_place",
        says: "two channels with one number",
    },
    Mutant {
        name: "a queue that is dropped does not wait for its bios",
        file: "crates/block/src/queue.rs",
        find: "if self.under_way == 0 {\n                return;",
        replace: "if true {\n                return;",
        build: QUEUE_END,
        test: "a_queue_that_is_dropped_waits_for_its_bios",
        says: "it did not wait",
    },
    Mutant {
        name: "a call of the front door ends before its bios",
        file: "crates/block/src/blocking.rs",
        find: "        while !self.is_none() {",
        replace: "        while false {",
        build: FRONT_DOOR,
        test: "a_driver_that_panics_leaves_nothing_to_the_next_call",
        says: "left == right",
    },
];
