//! `-v` and `-info`: what the shim and its runtime are, for whoever asks without a container.

use std::io::{IsTerminal, Read, Write};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use crate::error::{Doing, Error};
use crate::options::Options;
use crate::runtime::Runtime;

/// Name under which containerd finds the shim.
const NAME: &str = "io.containerd.red.v2";

/// Kind of what `features` prints (containerd, core/runtime/v2: it is JSON).
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Prints the version.
///
/// # Errors
/// Nobody reads it.
pub(crate) fn version() -> Result<(), Error> {
    let text = format!("containerd-shim-red-v2:\n  Version:  {}\n", crate::VERSION);
    std::io::stdout().write_all(text.as_bytes()).doing(|| "cannot answer".into())
}

/// Prints a `RuntimeInfo`, with the features of the runtime that the options on standard input name.
///
/// # Errors
/// The options are not understood, or the runtime does not answer.
pub(crate) fn info() -> Result<(), Error> {
    let mut bytes = Vec::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().take(1 << 20).read_to_end(&mut bytes).doing(|| "cannot read options".into())?;
    }
    let sent = Any::parse_from_bytes(&bytes).map_err(|source| Error::Message { what: "options", source })?;
    let runtime = Runtime::of(&Options::of(Some(&sent))?, "", false);
    let features = Any { type_url: FEATURES.into(), value: runtime.features()?, ..Any::default() };
    let version = RuntimeVersion { version: crate::VERSION.into(), ..RuntimeVersion::default() };
    let info = RuntimeInfo {
        name: NAME.into(),
        version: MessageField::some(version),
        options: if bytes.is_empty() { MessageField::none() } else { MessageField::some(sent) },
        features: MessageField::some(features),
        ..RuntimeInfo::default()
    };
    let bytes = info.write_to_bytes().map_err(|source| Error::Message { what: "the answer", source })?;
    std::io::stdout().write_all(&bytes).doing(|| "cannot answer".into())
}
