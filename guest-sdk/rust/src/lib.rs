//! `weir-sdk`: write Weir operators in Rust.
//!
//! An operator is a type with one `process` method over typed records:
//! ```
//! use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, ValueTable};
//!
//! const COUNT: ValueTable<u64> = ValueTable::new("count");
//!
//! struct Count;
//!
//! impl Operator for Count {
//!     type Config = NoConfig;
//!
//!     fn describe() -> Description {
//!         Description::new("count", "1.0.0").table(COUNT)
//!     }
//!
//!     fn open(_: NoConfig) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
//!         let count = ctx.value(COUNT).get()?.unwrap_or(0) + 1;
//!         ctx.value(COUNT).set(&count)?;
//!         ctx.emit(record.with_value(count.to_string().as_bytes()));
//!         Ok(())
//!     }
//! }
//!
//! weir_sdk::operator!(Count);
//! # fn main() {}
//! ```
//! Built for `wasm32-unknown-unknown` as a `cdylib`, that is a plugin. Built natively it is a library like any other,
//! and [`testing`] runs it in memory: `cargo test` needs neither wasm nor a host.
//!
//! The bytes between plugin and host are specified in `wit/FRAME.md`; nobody who writes an operator sees them.

/// Windows: what folds their records.
pub mod aggregate;
/// What a plugin says of itself.
pub mod description;
/// Why a call did not succeed.
pub mod failure;
/// Joins, and what is built like them.
pub mod join;
/// A few fields of a JSON object, fast.
pub mod json;
/// Typed records over the bytes of a frame.
pub mod record;
/// Keyed state: tables, and handles to the value of the current record's key.
pub mod state;
/// Timers: moments that an operator waits for.
pub mod timer;
/// When records were made.
pub mod timestamps;

mod context;
mod frame;
mod instance;
mod update;

/// What the `operator!` macro refers to; not for direct use.
#[cfg(target_arch = "wasm32")]
pub mod bindings;
/// Runs an operator in memory, and against golden cases.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use aggregate::{Aggregate, Window, WindowInstance};
pub use context::{Context, Level, ValueWriter};
pub use description::{Declare, Description, Ttl};
pub use failure::Failure;
#[cfg(not(target_arch = "wasm32"))]
pub use instance::Host;
pub use instance::{HostRef, Instance};
pub use record::{HeaderList, Record};
pub use state::{BroadcastTable, Json, ListTable, MapKey, MapTable, Number, ReducingTable, StateValue, ValueTable};
pub use timer::{TimeDomain, Timer};
pub use timestamps::Timestamps;

use serde::de::DeserializeOwned;

/// A streaming operator.
///
/// An instance may be replaced by a new one between any two batches: what must last belongs into a table ([`ValueTable`],
/// [`ReducingTable`], [`ListTable`], [`MapTable`], [`BroadcastTable`]), not into `self`. Use `self` for the configuration and for buffers that are worth keeping.
pub trait Operator: Sized {
    /// What the user may configure, read from JSON. [`NoConfig`] where there is nothing.
    type Config: DeserializeOwned;

    /// The plugin's name, version, outputs and tables.
    fn describe() -> Description;

    /// Makes an instance.
    fn open(config: Self::Config) -> Result<Self, Failure>;

    /// Processes one record. A failure undoes what this record has emitted and done to its state, and nothing else; the
    /// host then goes on without it, or stops, as the pipeline says. What it did to `self` is not undone.
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure>;

    /// Time has come to a timer that [`Context::set_timer`] or [`Context::set_processing_timer`] has set; it is over now. `ctx` is that of its key. A failure
    /// undoes what was done for this timer, as it does for a record. Timers of a key come in the order of their times, one
    /// after the other.
    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let _ = (timer, ctx);
        Err(Failure::new("the plugin sets timers and has no `on_timer`").with_code(failure::UNDECLARED))
    }
}

/// The configuration of an operator that has none: any key in it is an error that the user sees.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Exports an [`Operator`] as a Weir plugin. Does nothing in a native build.
#[macro_export]
macro_rules! operator {
    ($operator:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::core::option::Option<$crate::Instance<$operator>>> =
                    const { ::std::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Exports;

            impl bindings::plugin::Guest for Exports {
                fn describe() -> ::std::string::String {
                    bindings::describe::<$operator>()
                }
            }

            impl bindings::operator::Guest for Exports {
                fn open(
                    _task: ::std::string::String,
                    config: ::std::string::String,
                ) -> ::core::result::Result<(), bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::open(instance, &config))
                }

                fn process(
                    input: u32,
                    batch: ::std::vec::Vec<u8>,
                    slots: ::std::vec::Vec<u32>,
                    values: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::process(instance, input, &batch, &slots, &values))
                }
            }

            impl bindings::timers::Guest for Exports {
                fn on_timers(
                    due: ::std::vec::Vec<u8>,
                    slots: ::std::vec::Vec<u32>,
                    values: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::on_timers(instance, &due, &slots, &values))
                }
            }

    bindings::plugins::export_plugin!(Exports with_types_in bindings::plugins);
    bindings::operators::export_operator!(Exports with_types_in bindings::operators);
    bindings::timed::export_timers!(Exports with_types_in bindings::timed);
        };
    };
}

/// Exports an [`Aggregate`] as a Weir plugin. Does nothing in a native build.
#[macro_export]
macro_rules! aggregate {
    ($aggregate:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::core::option::Option<$crate::WindowInstance<$aggregate>>> =
                    const { ::std::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Exports;

            impl bindings::plugin::Guest for Exports {
                fn describe() -> ::std::string::String {
                    bindings::describe_aggregate::<$aggregate>()
                }
            }

            impl bindings::aggregate::Guest for Exports {
                fn open(
                    _task: ::std::string::String,
                    config: ::std::string::String,
                ) -> ::core::result::Result<(), bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::open_aggregate(instance, &config))
                }

                fn fold(
                    _input: u32,
                    batch: ::std::vec::Vec<u8>,
                    slots: ::std::vec::Vec<u32>,
                    values: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::fold(instance, &batch, &slots, &values))
                }

                fn merge(
                    parts: ::std::vec::Vec<u8>,
                    slots: ::std::vec::Vec<u32>,
                    values: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::merge(instance, &parts, &slots, &values))
                }

                fn finish(
                    due: ::std::vec::Vec<u8>,
                    slots: ::std::vec::Vec<u32>,
                    values: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, bindings::Failure> {
                    INSTANCE.with_borrow_mut(|instance| bindings::finish(instance, &due, &slots, &values))
                }
            }

    bindings::plugins::export_plugin!(Exports with_types_in bindings::plugins);
    bindings::aggregates::export_aggregate!(Exports with_types_in bindings::aggregates);
        };
    };
}
