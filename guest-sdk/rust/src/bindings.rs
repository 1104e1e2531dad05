//! The wasm side of the contract: generated bindings, and what `operator!` puts between them and an operator.

/// What a plugin says of itself. An interface has bindings of its own: a plugin exports this one and that of its role.
#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
pub mod plugins {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world describes { export weir:operator/plugin@0.1.0; }",
        path: "../../wit",
        world: "weir:sdk/describes",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "weir_sdk::bindings::plugins",
    });
}

/// Records become records.
#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
pub mod operators {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world operates {
            import weir:operator/output@0.1.0;
            import weir:operator/state@0.1.0;
            import weir:operator/context@0.1.0;
            import weir:operator/log@0.1.0;
            export weir:operator/operator@0.1.0;
        }",
        path: "../../wit",
        world: "weir:sdk/operates",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_operator",
        default_bindings_module: "weir_sdk::bindings::operators",
    });
}

/// Timers that are due become records.
#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
pub mod timed {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world has-timers { export weir:operator/timers@0.1.0; }",
        path: "../../wit",
        world: "weir:sdk/has-timers",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_timers",
        default_bindings_module: "weir_sdk::bindings::timed",
        with: { "weir:operator/types@0.1.0": super::operators::weir::operator::types },
    });
}

/// Records become accumulators of windows, and these become records.
#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
pub mod aggregates {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world aggregates { export weir:operator/aggregate@0.1.0; }",
        path: "../../wit",
        world: "weir:sdk/aggregates",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "weir_sdk::bindings::aggregates",
        with: { "weir:operator/types@0.1.0": super::operators::weir::operator::types },
    });
}

/// When records were made.
#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
pub mod stamping {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world stamps { import weir:operator/log@0.1.0; export weir:operator/timestamps@0.1.0; }",
        path: "../../wit",
        world: "weir:sdk/stamps",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_timestamps_of",
        default_bindings_module: "weir_sdk::bindings::stamping",
        with: {
            "weir:operator/types@0.1.0": super::operators::weir::operator::types,
            "weir:operator/log@0.1.0": super::operators::weir::operator::log,
        },
    });
}

pub use aggregates::exports::weir::operator::aggregate;
pub use operators::exports::weir::operator::operator;
pub use operators::weir::operator::types::Failure;
pub use plugins::exports::weir::operator::plugin;
pub use stamping::exports::weir::operator::timestamps;
pub use timed::exports::weir::operator::timers;

use operators::weir::operator::{context, log, output, state};

use crate::{Aggregate, Instance, Level, Operator, Timestamps, WindowInstance};

/// The host behind the plugin's imports: what [`crate::Host`] is natively.
pub struct Imports;

impl Imports {
    pub(crate) fn emit(&mut self, output: u32, frame: &[u8]) {
        output::emit(output, frame);
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) {
        log::log(level as u32, message);
    }

    pub(crate) fn processing_time(&mut self) -> i64 {
        context::processing_time()
    }

    pub(crate) fn watermark(&mut self) -> i64 {
        context::watermark()
    }

    pub(crate) fn get_many(&mut self, table: u32, wanted: &[u8]) -> Vec<u8> {
        state::get_many(table, wanted)
    }

    pub(crate) fn scan(&mut self, table: u32, slot: u32, start: &[u8], limit: u32) -> Vec<u8> {
        state::scan(table, slot, start, limit)
    }
}

/// Level of a panic's last words; see `wit/log.wit`.
const PANIC: u32 = 5;

/// A panic in wasm is a bare trap: tell the host its message and place first.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("panic without a message");
        match panic.location() {
            Some(place) => {
                log::log(PANIC, &format!("{message}, at {}:{}:{}", place.file(), place.line(), place.column()))
            }
            None => log::log(PANIC, message),
        }
    }));
}

/// `plugin.describe`.
pub fn describe<Op: Operator>() -> String {
    report_panics();
    Op::describe().to_json()
}

/// `operator.open`.
pub fn open<Op: Operator>(instance: &mut Option<Instance<Op>>, config: &str) -> Result<(), Failure> {
    report_panics();
    *instance = Some(Instance::open(config).map_err(to_wit)?);
    Ok(())
}

/// `operator.process`.
pub fn process<Op: Operator>(
    instance: &mut Option<Instance<Op>>,
    input: u32,
    batch: &[u8],
    slots: &[u32],
    values: &[u8],
) -> Result<Vec<u8>, Failure> {
    let instance = instance.as_mut().expect("the host calls open before process");
    instance.process(input, batch, slots, values, &mut Imports).map_err(to_wit)
}

/// `timers.on-timers`.
pub fn on_timers<Op: Operator>(
    instance: &mut Option<Instance<Op>>,
    due: &[u8],
    slots: &[u32],
    values: &[u8],
) -> Result<Vec<u8>, Failure> {
    let instance = instance.as_mut().expect("the host calls open before on-timers");
    instance.on_timers(due, slots, values, &mut Imports).map_err(to_wit)
}

/// `timestamps.timestamps`.
pub fn timestamps_of<T: Timestamps>(batch: &[u8]) -> Result<Vec<i64>, Failure> {
    report_panics();
    crate::timestamps::timestamps::<T>(batch).map_err(to_wit)
}

/// `plugin.describe` of an aggregate.
pub fn describe_aggregate<Op: Aggregate>() -> String {
    report_panics();
    WindowInstance::<Op>::describe().to_json()
}

/// `aggregate.open`.
pub fn open_aggregate<Op: Aggregate>(instance: &mut Option<WindowInstance<Op>>, config: &str) -> Result<(), Failure> {
    report_panics();
    *instance = Some(WindowInstance::open(config).map_err(to_wit)?);
    Ok(())
}

/// `aggregate.fold`.
pub fn fold<Op: Aggregate>(
    instance: &mut Option<WindowInstance<Op>>,
    batch: &[u8],
    slots: &[u32],
    values: &[u8],
) -> Result<Vec<u8>, Failure> {
    let instance = instance.as_mut().expect("the host calls open before fold");
    instance.fold(batch, slots, values).map_err(to_wit)
}

/// `aggregate.merge`.
pub fn merge<Op: Aggregate>(
    instance: &mut Option<WindowInstance<Op>>,
    parts: &[u8],
    slots: &[u32],
    values: &[u8],
) -> Result<Vec<u8>, Failure> {
    let instance = instance.as_mut().expect("the host calls open before merge");
    instance.merge(parts, slots, values).map_err(to_wit)
}

/// `aggregate.finish`.
pub fn finish<Op: Aggregate>(
    instance: &mut Option<WindowInstance<Op>>,
    due: &[u8],
    slots: &[u32],
    values: &[u8],
) -> Result<Vec<u8>, Failure> {
    let instance = instance.as_mut().expect("the host calls open before finish");
    instance.finish(due, slots, values, &mut Imports).map_err(to_wit)
}

fn to_wit(failure: crate::Failure) -> Failure {
    Failure { index: failure.index, code: failure.code, message: failure.message }
}
