//! Guests against the host: what works, everything a guest can do wrong, and every file that is no plugin.
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![expect(clippy::unwrap_used, reason = "what the tests share may fail like a test")]

mod calls;
mod damage;
mod module;
mod refusals;
mod state;
