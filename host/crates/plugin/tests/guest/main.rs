//! Guests against the host: what works, everything a guest can do wrong, and every file that is no plugin.

#![expect(clippy::unwrap_used, reason = "what the tests share may fail like a test")]

mod calls;
mod damage;
mod module;
mod refusals;
mod state;
