//! The wasm side of the contract: generated bindings, and what `operator!` puts between them and an operator.

#[allow(missing_docs, unreachable_pub, reason = "generated from wit/, where the words are")]
mod generated {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "operator-packed",
        pub_export_macro: true,
        export_macro_name: "export_operator",
        default_bindings_module: "weir_sdk::bindings",
    });
}

pub use generated::export_operator;
pub use generated::exports;
pub use generated::exports::weir::operator::{operator, plugin};
pub use generated::weir::operator::types::Failure;

use generated::weir::operator::{log, output, state};

use crate::{Instance, Level, Operator};

/// The host behind the plugin's imports: what [`crate::Host`] is natively.
pub struct Imports;

impl Imports {
    pub(crate) fn emit(&mut self, output: u32, frame: &[u8]) {
        output::emit(output, frame);
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) {
        log::log(level as u32, message);
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

fn to_wit(failure: crate::Failure) -> Failure {
    Failure { index: failure.index, code: failure.code, message: failure.message }
}
