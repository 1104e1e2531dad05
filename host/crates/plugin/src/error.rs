//! What can be wrong with a plugin, and who must act.

use std::io;
use std::path::PathBuf;

use weir_core::ports::CallError;
use weir_core::{Fault, PortError};

/// An error of wasmtime or wit-component, which have error types of their own.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file, or no permission.
    #[error("failed to read plugin {}: check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not WebAssembly at all.
    #[error("{} is no WebAssembly: it {found}; give the .wasm file that the plugin's build leaves", path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// It begins like WebAssembly and is none.
    #[error("plugin {} is cut short or damaged: copy it again, or build it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: Cause,
    },
    /// A core module that does not say what it exports.
    #[error(
        "{} is a core module without WIT: build it with the plugin SDK or with wit-bindgen, which embed it, or make it a \
         component with `wasm-tools component embed` and `wasm-tools component new`",
        path.display()
    )]
    NoWit {
        /// The file.
        path: PathBuf,
    },
    /// A core module that does not hold what its WIT promises.
    #[error("failed to make a component of the core module {}: {cure}", path.display())]
    Wrap {
        /// The file.
        path: PathBuf,
        /// What to do.
        cure: &'static str,
        /// Why.
        source: Cause,
    },
    /// Valid WebAssembly, but not for this host: a proposal that is switched off, or a component without its last parts.
    #[error(
        "failed to compile plugin {}: it is incomplete, or uses WebAssembly features that this host does not run",
        path.display()
    )]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// Written for another version of the contract.
    #[error(
        "{} is built for another version of the plugin contract: it has {found}, this host runs {wanted}; rebuild it with \
         the SDK of that version",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The name the host looks for.
        wanted: String,
        /// The name the plugin has.
        found: String,
    },
    /// An export that every operator has is not there.
    #[error("{} is no operator: it does not export {wanted}, only {found}; build it with the plugin SDK", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name the host looks for.
        wanted: String,
        /// What is exported.
        found: String,
    },
    /// A source asks it when records were made, and it does not say.
    #[error(
        "{} does not export weir:operator/timestamps, by which a source asks when records were made, only {found}; write it \
         with weir_sdk::timestamps!, or name another file",
        path.display()
    )]
    Untimed {
        /// The file.
        path: PathBuf,
        /// What is exported.
        found: String,
    },
    /// It does not say what it is.
    #[error(
        "{} exports both the interfaces operator and aggregate: a plugin has one of them; make two plugins of it",
        path.display()
    )]
    Roles {
        /// The file.
        path: PathBuf,
    },
    /// It wants something from the host that it does not get.
    #[error("{} imports {name}, which is not granted: {cure}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// The import.
        name: String,
        /// What to do.
        cure: &'static str,
    },
    /// The right name with other types.
    #[error("{} has {name} with other types than {contract}; rebuild it with the SDK of that version", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// A function, or `an import`.
        name: &'static str,
        /// The package and version this host runs.
        contract: &'static str,
        /// Where they differ.
        source: Cause,
    },
    /// `describe` does not return what it should.
    #[error("plugin {} describes itself wrongly: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It does not even start.
    #[error("plugin {plugin} failed in {function}")]
    Start {
        /// Its name, or its file as long as the name is not known.
        plugin: String,
        /// `describe`, `open` or `its start`.
        function: &'static str,
        /// How.
        source: CallError,
    },
    /// There is no room for an instance. Each reserves addresses for all the memory it may come to have.
    #[error(
        "no room for an instance of plugin {plugin}: the system gives this process no more memory or addresses; raise \
         the limit (`ulimit -v`, the memory of the container), or run fewer tasks (--parallelism)"
    )]
    NoRoom {
        /// Its name, or its file as long as the name is not known.
        plugin: String,
        /// What the system said.
        source: Cause,
    },
    /// Where compiled code is kept is not for this user alone.
    #[error("the cache of compiled plugins {} is not used: {reason}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Who else could write what this host would run.
        reason: String,
    },
    /// The host's own part could not be set up.
    #[error("failed to start the WebAssembly engine")]
    Engine {
        /// Why.
        source: Cause,
    },
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Start { source: CallError::Host(host), .. } => host.fault(),
            // Its file alone decides what it says of itself.
            Self::Start { function: "describe" | "its start", .. } => Fault::Config,
            Self::Start { .. } => Fault::User,
            Self::Engine { .. } => Fault::Bug,
            _ => Fault::Config,
        }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}
