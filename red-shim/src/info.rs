//! `-v` and `-info`: version of the shim and features of its runtime.

use std::io::{IsTerminal, Read, Write};

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use crate::error::{Context, Error, decode, encode};
use crate::options::Options;
use crate::runtime::Runtime;

/// Name of the runtime in containerd.
const RUNTIME_NAME: &str = "io.containerd.red.v2";

/// Type URL of the JSON document that `features` prints (containerd, core/runtime/v2).
const FEATURES_TYPE_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Usage of the program (containerd, runtime/v2/README.md, "Flags").
const HELP: &str = "\
The shim of the containerd runtime io.containerd.red.v2, which containerd executes:
  ctr run --rm --runtime io.containerd.red.v2 --rootfs NODE ID COMMAND

Usage: containerd-shim-red-v2 -namespace NAMESPACE -id ID -address ADDRESS start|delete
  -namespace  containerd namespace of the container
  -id         container ID
  -address    path of containerd's socket
  -bundle     bundle directory, of `delete`
  -info       print the runtime's features
  -v          print the version
";

/// Prints the usage.
///
/// # Errors
/// stdout cannot be written.
pub(crate) fn help() -> Result<(), Error> {
    std::io::stdout().write_all(HELP.as_bytes()).context(|| "cannot write to stdout".into())
}

/// Prints the version.
///
/// # Errors
/// stdout cannot be written.
pub(crate) fn version() -> Result<(), Error> {
    let version = format!("containerd-shim-red-v2:\n  Version:  {}\n", crate::VERSION);
    std::io::stdout().write_all(version.as_bytes()).context(|| "cannot write to stdout".into())
}

/// Prints a `RuntimeInfo` with the features of the runtime, which the options on stdin select.
///
/// # Errors
/// The options are invalid, the runtime's `features` fails, or stdout cannot be written.
pub(crate) fn info() -> Result<(), Error> {
    let mut bytes = Vec::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin()
            .take(1 << 20)
            .read_to_end(&mut bytes)
            .context(|| "cannot read options from stdin".into())?;
    }
    let options: Any = decode(&bytes, "options")?;
    let runtime = Runtime::from_options(&Options::from_any(Some(&options))?, "", false);
    let features = Any { type_url: FEATURES_TYPE_URL.into(), value: runtime.features()?, ..Any::default() };
    let version = RuntimeVersion { version: crate::VERSION.into(), ..RuntimeVersion::default() };
    let info = RuntimeInfo {
        name: RUNTIME_NAME.into(),
        version: MessageField::some(version),
        options: if bytes.is_empty() { MessageField::none() } else { MessageField::some(options) },
        features: MessageField::some(features),
        ..RuntimeInfo::default()
    };
    std::io::stdout().write_all(&encode(&info, "RuntimeInfo")?).context(|| "cannot write to stdout".into())
}
