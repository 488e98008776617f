//! Whether something that is written beside the picture cannot be written now, and why: said by the thread that writes it, read by
//! whoever owns the alarms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub struct Mishap {
    is_so: AtomicBool,
    words: Mutex<String>,
}

impl Mishap {
    pub(super) fn fails(&self, words: String) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = words;
        self.is_so.store(true, Ordering::Release);
    }

    /// Something was written again.
    pub(super) fn passes(&self) {
        self.is_so.store(false, Ordering::Release);
    }

    /// An atomic read.
    pub fn is_so(&self) -> bool {
        self.is_so.load(Ordering::Acquire)
    }

    /// What could not be written last, and why.
    pub fn words(&self) -> String {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
