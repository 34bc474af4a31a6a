//! Faults of the block layer's queues: what other threads send them, queues that nobody has in hand, and what one that ends
//! leaves.

use crate::mutants::{Build, Mutant};

const TESTS: Build = Build::Tests { package: "udm-block", target: "--test=all" };
const ASIDE: &str = "crates/block/src/aside.rs";
const ENDING: &str = "crates/block/src/bio/ending.rs";
const HANDSHAKE: &str = "crates/block/src/handshake.rs";
const POOL: &str = "crates/block/src/pool.rs";
const QUEUE: &str = "crates/block/src/queue.rs";

pub const ALL: &[Mutant] = &[
    // Mailboxes.
    Mutant {
        name: "a queue that is about to sleep does not look for messages",
        file: HANDSHAKE,
        find: "fence(Ordering::SeqCst);\n        self.has_mail()",
        replace: "fence(Ordering::SeqCst);\n        false",
        build: Build::Model,
        test: "messages::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock!",
    },
    Mutant {
        name: "who sends a message does not look whether the queue sleeps",
        file: "crates/block/src/mailbox.rs",
        find: "if self.handshake.must_wake() {",
        replace: "if false {",
        build: Build::Model,
        test: "messages::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock!",
    },
    Mutant {
        name: "who sends a message may look first whether the queue sleeps, and put it then",
        file: HANDSHAKE,
        find: "fence(Ordering::SeqCst);\n        self.sleeps.load(",
        replace: "let _ = fence;\n        self.sleeps.load(",
        build: Build::Orders,
        test: "mailbox::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock",
    },
    Mutant {
        name: "a queue may look first for messages, and say then that it sleeps",
        file: HANDSHAKE,
        find: "fence(Ordering::SeqCst);\n        self.has_mail()",
        replace: "self.has_mail()",
        build: Build::Orders,
        test: "mailbox::a_message_wakes_a_queue_that_is_about_to_sleep",
        says: "deadlock",
    },
    Mutant {
        name: "a queue that is put aside does not look for messages that came before",
        file: ASIDE,
        find: "        drive(&aside);\n        Self(aside)",
        replace: "        Self(aside)",
        build: Build::Model,
        test: "aside::a_message_that_is_sent_while_its_queue_is_put_aside_is_heard",
        says: "deadlock!",
    },
    Mutant {
        name: "who sends to a queue that is aside does not drive it",
        file: "crates/block/src/mailbox.rs",
        find: "            drive();",
        replace: "            let _ = drive;",
        build: Build::Model,
        test: "aside::messages_of_two_senders_are_heard_while_nobody_takes_the_queue",
        says: "deadlock!",
    },
    Mutant {
        name: "what comes to a queue that another sender drives is left",
        file: ASIDE,
        find: "if !home.mailbox().has_mail() {",
        replace: "if true {",
        build: Build::Model,
        test: "aside::messages_of_two_senders_are_heard_while_nobody_takes_the_queue",
        says: "deadlock!",
    },
    Mutant {
        name: "a queue that is put back leaves what has come meanwhile",
        file: ASIDE,
        find: "        drive(self.aside);",
        replace: "        let _ = self.aside;",
        build: Build::Model,
        test: "aside::messages_are_heard_while_a_queue_is_taken_and_put_back",
        says: "deadlock!",
    },
    // The end of a queue.
    Mutant {
        name: "a message reaches the next channel of the same number",
        file: "crates/block/src/channels.rs",
        find: "if slot.generation == id.generation && slot.users > 0 { Some(slot) } else { None }",
        replace: "if slot.users > 0 { Some(slot) } else { None }",
        build: TESTS,
        test: "queue_end::a_message_to_a_channel_that_was_closed_does_not_reach_the_next_one_in_its_place",
        says: "left == right",
    },
    Mutant {
        name: "a queue that has ended takes messages",
        file: "crates/block/src/mailbox.rs",
        find: "self.lock().is_closed = true;",
        replace: "drop(self.lock());",
        build: Build::Model,
        test: "left_behind::a_queue_ends_while_other_threads_end_its_bios_and_send_messages",
        says: "a message is left",
    },
    Mutant {
        name: "a queue that ends drops what came last",
        file: QUEUE,
        find: "self.take_in(last);",
        replace: "drop(last);",
        build: Build::Model,
        test: "left_behind::a_queue_ends_while_bios_of_its_channels_and_their_pieces_end_on_another_thread",
        says: "a driver lost a bio",
    },
    Mutant {
        name: "a queue that ends does not wait for its bios",
        file: QUEUE,
        find: "if self.under_way == 0 {",
        replace: "if true {",
        build: TESTS,
        test: "queue_end::a_queue_that_is_dropped_waits_for_its_bios",
        says: "it did not wait",
    },
    Mutant {
        name: "a queue that ends leaves what the pieces of its user's bios are of",
        file: QUEUE,
        find: "if let Some(next) = bio.abandon() {\n                    self.cx.end(next);",
        replace: "bio.free();\n                if let Some(next) = None {\n                    \
                  self.cx.end(next);",
        build: TESTS,
        test: "queue_end::a_queue_that_is_dropped_ends_the_pieces_of_its_users_bios",
        says: "it waits for a bio whose pieces have ended",
    },
    Mutant {
        name: "what a piece that ends after its queue is of never ends",
        file: ENDING,
        find: "parent.complete_elsewhere(Status::Offline);\n        }\n        self.end_anywhere()",
        replace: "parent.complete_elsewhere(Status::Offline);\n        }\n        self.free();\n        \
                  None",
        build: TESTS,
        test: "queue_end::what_a_bio_that_ends_after_its_queue_is_a_piece_of_is_free_then",
        says: "a bio is missing",
    },
    Mutant {
        name: "what a clone that ends after its queue is of is lost",
        file: ENDING,
        find: "if let Some(parent) = self.take_parent() {\n            \
                  parent.complete_elsewhere(Status::Offline);",
        replace: "if let Some(parent) = None::<Self> {\n            \
                  parent.complete_elsewhere(Status::Offline);",
        build: TESTS,
        test: "queue_end::what_a_bio_that_ends_after_its_queue_is_a_clone_of_is_free_then",
        says: "a driver lost a bio",
    },
    Mutant {
        name: "a promise to a queue that has ended is lost",
        file: POOL,
        find: "promise.redeem();\n                    unused += 1;",
        replace: "promise.redeem();\n                    unused += 0;",
        build: Build::Model,
        test: "left_behind::what_was_promised_to_a_parked_bio_whose_queue_ends_goes_to_the_next",
        says: "deadlock!",
    },
    Mutant {
        name: "promises to queues that have ended go on one from within the other",
        file: POOL,
        find: "promise.redeem();\n                    unused += 1;",
        replace: "drop(promise);\n                    unused += 0;",
        build: TESTS,
        test: "queue_end::bios_that_are_parked_when_their_queue_ends_leave_the_reserve_to_the_next_on_a_bounded_stack",
        says: "overflowed its stack",
    },
    // Engines.
    Mutant {
        name: "what comes of sending is not sent before the queue sleeps",
        file: QUEUE,
        find: "            self.run();\n        }\n    }\n\n    /// Has each engine complete",
        replace: "            return self.run();\n        }\n    }\n\n    /// Has each engine complete",
        build: TESTS,
        test: "engines::what_a_refused_bio_is_tried_again_with_is_sent_before_the_queue_sleeps",
        says: "it waits unsent",
    },
];
