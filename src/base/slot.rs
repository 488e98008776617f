//! Slots: what hands a newest thing from one thread to another without ever making the giver wait.
//!
//! ```text
//!   push ──► [ newest … oldest ] ──► pop        full: the OLDEST is handed back to the giver, who counts it
//! ```
//! A `Wake` lets one thread wait for several slots at once. A giver that has time (a recording's) may wait for room.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Something that one thread waits for and others ring.
#[derive(Debug, Default)]
pub struct Wake {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake {
    pub fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    /// Waits until somebody rings, or for `at_most`. Returns whether it was rung since the last wait.
    pub fn wait(&self, at_most: Duration) -> bool {
        let (mut rung, _) =
            self.bell.wait_timeout_while(lock(&self.rung), at_most, |rung| !*rung).unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::take(&mut *rung)
    }
}

/// A slot of fixed depth in which the newest wins. `push` never waits.
#[derive(Debug)]
pub struct Slot<T> {
    items: Mutex<VecDeque<T>>,
    depth: usize,
    wake: Arc<Wake>,
    taken: Condvar,
}

impl<T> Slot<T> {
    pub fn new(depth: usize, wake: Arc<Wake>) -> Self {
        assert!(depth > 0, "a slot holds at least one thing");
        Slot { items: Mutex::new(VecDeque::with_capacity(depth)), depth, wake, taken: Condvar::new() }
    }

    /// Puts `item` in as the newest. Returns the oldest if it had to make room: the caller counts it.
    pub fn push(&self, item: T) -> Option<T> {
        let replaced = {
            let mut items = lock(&self.items);
            let replaced = if items.len() == self.depth { items.pop_front() } else { None };
            items.push_back(item);
            replaced
        };
        self.wake.ring();
        replaced
    }

    /// Takes the oldest.
    pub fn pop(&self) -> Option<T> {
        let oldest = lock(&self.items).pop_front();
        self.taken.notify_one();
        oldest
    }

    /// Waits until a push would replace nothing, for `at_most`. Returns whether there is room.
    pub fn wait_for_room(&self, at_most: Duration) -> bool {
        let waited = self.taken.wait_timeout_while(lock(&self.items), at_most, |items| items.len() >= self.depth);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0.len() < self.depth
    }

    pub fn len(&self) -> usize {
        lock(&self.items).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_giver_that_waits_for_room_loses_nothing() {
        let slot = Arc::new(Slot::new(2, Arc::default()));
        assert!(slot.wait_for_room(Duration::ZERO));
        let giver = {
            let slot = slot.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    while !slot.wait_for_room(Duration::from_secs(1)) {}
                    assert!(slot.push(n).is_none());
                }
            })
        };
        let mut seen = Vec::new();
        while seen.len() < 500 {
            seen.extend(slot.pop());
        }
        giver.join().unwrap();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        slot.push(0);
        slot.push(1);
        assert!(!slot.wait_for_room(Duration::ZERO), "it is full");
    }

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Push,
        Pop,
    }

    proptest! {
        /// Nothing is lost silently: what went in is in, came out, or was handed back; order is kept.
        #[test]
        fn every_item_is_accounted_for(depth in 1usize..4, ops in proptest::collection::vec(prop_oneof![Just(Op::Push), Just(Op::Pop)], 0..200)) {
            let slot = Slot::new(depth, Arc::default());
            let (mut pushed, mut seen) = (0u32, Vec::new());
            for op in ops {
                match op {
                    Op::Push => { seen.extend(slot.push(pushed)); pushed += 1; }
                    Op::Pop => seen.extend(slot.pop()),
                }
                prop_assert!(slot.len() <= depth);
            }
            while let Some(item) = slot.pop() { seen.push(item); }
            prop_assert_eq!(seen, (0..pushed).collect::<Vec<_>>());
        }
    }
}
