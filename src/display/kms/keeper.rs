//! The monitor thread of KMS output: notices what becomes of the monitor, and lights it anew when it is there again (or says how it
//! is to be lit, where a GPU does that). It waits for the kernel and the monitor, so that the display thread never does.

use crate::base::clock::Clock;
use crate::display::DisplayError;
use crate::display::kms::card::{Card, Plan, Wanted};
use crate::display::kms::uevent;
use crate::display::monitor_watch::{MonitorPost, MonitorWatch, Reading, Trouble};
use drm::control::{Device as _, connector};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

/// Between the display thread and the monitor thread: a monitor that was lit, and the wish for one.
pub struct Handover<T> {
    lit: Mutex<Option<T>>,
    is_asked: AtomicBool,
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Handover { lit: Mutex::new(None), is_asked: AtomicBool::new(false) }
    }
}

impl<T> Handover<T> {
    /// What was lit and not taken yet; None also while it is being put there. Never waits.
    pub fn take(&self) -> Option<T> {
        match self.lit.try_lock() {
            Ok(mut lit) => lit.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What was taken last is broken.
    pub fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
    }

    fn put(&self, lit: T) {
        let before = self.lit.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).replace(lit);
        // Not under the lock: giving buffers back takes its time.
        drop(before);
    }
}

pub struct Keeper<T> {
    pub card: Arc<Card>,
    pub wanted: Wanted,
    pub plan: Plan,
    pub clock: Arc<dyn Clock>,
    pub handover: Arc<Handover<T>>,
    /// What is handed over of a plan.
    pub light: fn(&Arc<Card>, Plan) -> Result<T, DisplayError>,
}

/// A monitor that is gone is looked for at the card's other sockets once in so many looks.
const LOOKS_ELSEWHERE: u32 = 10;

impl<T> Keeper<T> {
    pub fn run(mut self, post: &MonitorPost) {
        let news = uevent::listen();
        let mut watch = MonitorWatch::new(self.reading(None));
        let (mut is_lit, mut looks) = (true, 0u32);
        while post.wait(news.as_ref()) {
            let is_news = news.as_ref().is_some_and(uevent::has_news);
            looks = looks.wrapping_add(1);
            let is_asked = self.handover.is_asked.swap(false, Ordering::AcqRel);
            let info = self.card.get_connector(self.plan.connector, is_news).ok();
            let is_there = info.as_ref().is_some_and(|info| info.state() != connector::State::Disconnected);
            let is_another = is_news && info.as_ref().is_some_and(|info| self.card.identity(info) != self.plan.identity);
            // The monitor gets nothing any more, whatever the connector says of itself.
            let is_bad = is_news && is_there && self.card.is_link_bad(self.plan.connector);
            if is_there && is_lit && !is_another && !is_bad && !is_asked {
                continue;
            }
            let trouble = if is_there { Trouble::Dark } else { Trouble::Unplugged };
            if !is_there || is_bad || is_asked {
                // Said before anything is done about it, which takes time.
                post.tell(&mut watch, self.clock.now_ns(), self.reading(Some(trouble)));
            }
            // The display thread leaves the monitor alone from here.
            post.hold();
            is_lit = (is_there || is_news || looks.is_multiple_of(LOOKS_ELSEWHERE)) && self.light();
            let reading = self.reading(Some(trouble).filter(|_| !is_lit));
            post.tell(&mut watch, self.clock.now_ns(), reading);
        }
    }

    /// Lights whatever monitor is to be lit now. False: there is none, or the kernel does not let us.
    fn light(&mut self) -> bool {
        let lit = self.card.plan(&self.wanted, false).and_then(|plan| {
            let lit = (self.light)(&self.card, plan.clone())?;
            self.plan = plan;
            self.handover.put(lit);
            Ok(())
        });
        if let Err(error) = &lit {
            tracing::debug!("the monitor is not lit: {error}");
        }
        lit.is_ok()
    }

    fn reading(&self, trouble: Option<Trouble>) -> Reading {
        let Plan { name, identity, .. } = &self.plan;
        Reading { name: name.clone(), trouble, mode: Some(self.plan.shown()), identity: *identity }
    }
}
