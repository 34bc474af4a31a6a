//! Faults of the block layer: its order of dispatch, its rescuers, its pools, and how its bios end.

use crate::mutants::{Build, Mutant};

const TESTS: Build = Build::Tests { package: "udm-block", target: "--test=all" };
const ENDING: &str = "crates/block/src/bio/ending.rs";
const BIOS: &str = "crates/block/src/bio/bios.rs";
const DISPATCH: &str = "crates/block/src/dispatch.rs";
const MEMPOOL: &str = "crates/block/src/mempool.rs";
const PENDING: &str = "crates/block/src/bio/pending.rs";
const POOL: &str = "crates/block/src/pool.rs";
const QUEUE: &str = "crates/block/src/queue.rs";
const HEAD: &str = "crates/block/src/bio/raw/head.rs";
const RESCUE: &str = "crates/block/src/rescue.rs";
const FRONT_DOOR: Build = Build::Tests { package: "udm-block", target: "--test=front_door" };
const IDLE_MEMORY: Build = Build::Tests { package: "udm-block", target: "--test=idle_memory" };
const LIB: Build = Build::Tests { package: "udm-block", target: "--lib" };

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
        find: "if self.fresh.is_empty() {\n            return;",
        replace: "self.older.append(&mut self.fresh); if true {\n            return;",
        build: Build::Model,
        // The rest waits at the barrier that was raised meanwhile; what is under way waits on the list behind the
        // rest.
        test: "depth_first::a_lower_bio_goes_before_the_rest_that_waits_for_it",
        says: "deadlock!",
    },
    // The rescuer.
    Mutant {
        name: "the rescuer dispatches in reverse",
        file: RESCUE,
        find: "let mut bios = cx.take_of_set(set, |bio| channel(bio.at()).is_some());",
        replace: "let mut forward = cx.take_of_set(set, |bio| channel(bio.at()).is_some());\n        let \
                  mut bios = crate::bio::BioList::new();\n        while let Some(bio) = forward.pop() { let \
                  mut one = crate::bio::BioList::new(); one.push(bio); bios.prepend(&mut one); }",
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
        name: "the queue's list is not emptied: all but the first bio stay",
        file: DISPATCH,
        find: "let of_set = |bio: &Bio| bio.set_id() == set && wanted(bio);",
        replace: "let first = std::cell::Cell::new(true);\n        let of_set = |bio: &Bio| bio.set_id() \
                  == set && wanted(bio) && first.replace(false);",
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
        name: "the rescuer does not know which device a channel is of",
        file: "crates/block/src/opening.rs",
        find: "self.cx.keys[index] = key;",
        replace: "self.cx.keys[index] = 0 * key;",
        build: Build::Model,
        test: "progress::two_clients_finish_with_three_by_three_pieces",
        says: "deadlock!",
    },
    Mutant {
        name: "a punt waits until the rescuer has taken the bios in",
        file: RESCUE,
        find: "        cx.keys = keys;",
        replace: "        while self.shared.home.mailbox().has_mail() { thread::yield_now(); }\n        cx.keys = \
                  keys;",
        build: Build::Model,
        test: "rescue::a_rescuer_takes_bios_while_the_one_that_it_dispatches_sleeps",
        says: "max_steps",
    },
    Mutant {
        name: "a bio that was parked on the rescuer's queue goes on on its own",
        file: ENDING,
        find: "let parked_on = own.parked_on.take();",
        replace: "own.parked_on = None;\n        let parked_on: Option<Arc<BioMailbox>> = None;",
        build: Build::Model,
        test: "rescue::a_bio_that_is_parked_on_the_rescuers_queue_goes_on_there",
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
        replace: "let memory = alloc(&mut cx.promise, Alloc::Wait);\n    if memory.is_some() { return \
                  memory; }\n    if let Some(rescuer) = set.rescuer() {",
        build: Build::Model,
        test: "progress::two_clients_finish_with_three_by_three_pieces_on_a_disk",
        says: "deadlock!",
    },
    Mutant {
        name: "a piece of a queue that sleeps ends there alone",
        file: BIOS,
        find: "if cx.may_sleep() && matches!(P::ENDING, Ending::Anywhere(_)) {",
        replace: "if false {",
        build: Build::Model,
        test: "progress::two_clients_finish_with_three_by_three_pieces_on_a_disk",
        says: "deadlock!",
    },
    // Wake-ups, and the count of pieces.
    Mutant {
        name: "a free wakes no sleeper",
        file: POOL,
        find: "Some(Next::Sleeper) => break self.turn.notify_all(),",
        replace: "Some(Next::Sleeper) => break,",
        build: Build::Model,
        test: "pools::sleepers_are_woken_by_frees_on_other_threads",
        says: "deadlock!",
    },
    Mutant {
        name: "a sleeper that is served does not see to those behind it",
        file: POOL,
        find: "self.serve(shared);\n        element",
        replace: "drop(shared);\n        element",
        build: Build::Model,
        test: "pools::two_sleepers_have_the_reserve_of_two_at_once",
        says: "deadlock!",
    },
    Mutant {
        name: "a bio is parked though an element has become free",
        file: POOL,
        find: "if !shared.reserve.has_for_new() {\n            return shared.reserve.park(waiter);",
        replace: "if true {\n            return shared.reserve.park(waiter);",
        build: Build::Model,
        test: "pools::a_bio_is_parked_while_the_only_element_comes_home_on_another_thread",
        says: "deadlock!",
    },
    Mutant {
        name: "a promise that is not used is lost",
        file: "crates/block/src/promise.rs",
        find: "pool.take_back();",
        replace: "let _ = pool;",
        build: Build::Model,
        test: "pools::what_a_woken_bio_does_not_use_goes_to_the_next_and_nobody_overtakes",
        says: "deadlock!",
    },
    Mutant {
        name: "what a driver was promised and did not use stays with its queue",
        file: QUEUE,
        find: "if self.cx.promise.is_some() {\n            self.cx.promise = None;",
        replace: "if self.cx.promise.is_some() {\n            let _ = &self.cx.promise;",
        build: Build::Model,
        test: "pools::what_a_woken_bio_does_not_use_goes_to_the_next_and_nobody_overtakes",
        says: "deadlock!",
    },
    Mutant {
        name: "who comes late overtakes those who wait",
        file: "crates/block/src/reserve.rs",
        find: "self.has() && self.serving == self.next_ticket",
        replace: "!self.elements.is_empty()",
        build: TESTS,
        test: "fairness::sleepers_and_parked_bios_are_served_in_the_order_in_which_they_came",
        says: "somebody overtook",
    },
    Mutant {
        name: "what was promised to a bio of a closed channel stays with it",
        file: QUEUE,
        find: "drop(bio.take_promise());\n            return self.cx.for_user.push(bio);",
        replace: "return self.cx.for_user.push(bio);",
        build: TESTS,
        test: "fairness::what_was_promised_to_a_bio_whose_channel_is_closed_goes_to_the_next_though_nobody_takes_the_bio",
        says: "the promise is kept from it",
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
        replace: "let count = self.0.load(Ordering::Acquire); self.0.store(count - 1, \
                  Ordering::Release);\n            if count != 1 {",
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
        test: "pieces::the_last_to_arrive_sees_what_the_others_did",
        says: "Causality violation",
    },
    Mutant {
        name: "a piece ends before what it did can be seen",
        file: PENDING,
        find: "fetch_sub(1, Ordering::Release)",
        replace: "fetch_sub(1, Ordering::Relaxed)",
        build: Build::Orders,
        test: "pieces::the_last_to_arrive_sees_what_the_others_did",
        says: "Causality violation",
    },
    Mutant {
        name: "success overwrites an error",
        file: HEAD,
        find: "if !status.is_ok() {\n            // The first error sticks, and success never \
                  overwrites one.",
        replace: "self.head().status.store(status as u8, Ordering::Relaxed);\n        if !status.is_ok() {",
        build: Build::Model,
        test: "chains::success_on_another_thread_overwrites_no_error",
        says: "ended with the wrong status",
    },
    Mutant {
        name: "a later error overwrites the first",
        file: HEAD,
        find: "Status::Ok as u8,\n                status as u8,",
        replace: "self.head().status.load(Ordering::Relaxed),\n                status as u8,",
        build: Build::Model,
        test: "chains::the_first_error_sticks",
        says: "ended with the wrong status",
    },
    // A list, by the ordinary tests.
    Mutant {
        name: "what is put before a list comes in reverse",
        file: "crates/block/src/list.rs",
        find: "reversed.push_front(first);",
        replace: "reversed.push(first);",
        build: LIB,
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
        says: "after bursts of",
    },
    Mutant {
        name: "a stock keeps what the reserve lacks",
        file: "crates/block/src/stock.rs",
        find: "if !self.pool.is_short() && (self",
        replace: "if true && (self",
        build: LIB,
        test: "stock::tests::the_reserve_serves_when_normal_memory_fails_and_is_refilled_first",
        says: "one in the reserve, one kept",
    },
    Mutant {
        name: "queues keep as much as there is",
        file: "crates/block/src/share.rs",
        find: "most: limit / 2",
        replace: "most: limit",
        build: IDLE_MEMORY,
        test: "idle_queues_leave_bios_to_others",
        says: "beside.len() >= 512",
    },
    Mutant {
        name: "a stock that ends gives no room back",
        file: "crates/block/src/stock.rs",
        find: "options.share.give(self.room * options.layout.size());",
        replace: "let _ = options;",
        build: LIB,
        test: "stock::tests::no_more_than_the_share_is_kept_and_a_stock_that_ends_gives_it_back",
        says: "left == right",
    },
    Mutant {
        name: "what a queue has left is for nobody",
        file: MEMPOOL,
        find: "match self.0.take_left().or_else(|| self.0.take_normal()) {",
        replace: "match self.0.take_normal() {",
        build: IDLE_MEMORY,
        test: "what_others_left_goes_before_the_reserve_and_a_free_refills_the_reserve_first",
        says: "nobody uses it",
    },
    Mutant {
        name: "a call of the front door ends before its bios",
        file: "crates/block/src/blocking.rs",
        find: "        while !self.is_none() {",
        replace: "        while false {",
        build: FRONT_DOOR,
        test: "a_driver_that_panics_leaves_nothing_to_the_next_call",
        says: "out of range for slice",
    },
];
