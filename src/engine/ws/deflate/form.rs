//! The compressed forms of one event: made when the first connection wants one, and shared.

use std::sync::OnceLock;

/// A compressed form. What was made with a small window can be read by whoever has a larger one,
/// so two are enough for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// With the window that is configured.
    Wide,
    /// With the smallest window, for clients that ask for less than the configured one.
    Narrow,
}

/// The compressed forms of something, each made once at most. `None` says of a form that it would
/// not be smaller than the plain one.
#[derive(Debug)]
pub struct Forms<T> {
    made: [OnceLock<Option<T>>; 2],
}

impl<T> Default for Forms<T> {
    fn default() -> Forms<T> {
        Forms { made: [OnceLock::new(), OnceLock::new()] }
    }
}

impl<T> Forms<T> {
    /// The form, made now if it was not. Of several threads that want it one makes it, and the
    /// others wait, which takes them no longer than making it themselves.
    pub fn of(&self, form: Form, make: impl FnOnce() -> Option<T>) -> Option<&T> {
        self.made[form as usize].get_or_init(make).as_ref()
    }
}
