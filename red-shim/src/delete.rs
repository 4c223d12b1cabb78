//! `delete`: the shim of a container has gone; what it left is taken away.

use std::io::Write;
use std::time::SystemTime;

use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::shim::DeleteResponse;

use crate::address;
use crate::args::Args;
use crate::error::{Doing, Error, read_bounded};
use crate::events::timestamp;
use crate::rootfs;
use crate::runtime::Runtime;

/// As if it had been ended by SIGKILL.
const KILLED: u32 = 128 + 9;

/// No address is longer, in bytes.
const LONGEST: u64 = 4096;

/// Takes away a container's processes, cgroups, state and root, and says how it ended.
///
/// # Errors
/// What the runtime says.
pub(crate) fn delete(args: &Args) -> Result<(), Error> {
    let bundle = match &args.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().doing(|| "the bundle".into())?,
    };
    // The shim that was killed has left its socket; in a group another container's `delete` may have met it before.
    if let Ok(address) = read_bounded(&bundle.join("address"), LONGEST)
        && let Some(socket) = std::str::from_utf8(&address).ok().and_then(address::path)
        && let Err(error) = address::clear(socket)
    {
        crate::sys::log(&error.to_string());
    }
    let removed = Runtime::noted(&bundle, &args.namespace)?.remove(&args.id);
    rootfs::unmount_all(&bundle.join("rootfs"));
    removed?;
    let response = DeleteResponse {
        exit_status: KILLED,
        exited_at: MessageField::some(timestamp(SystemTime::now())),
        ..DeleteResponse::default()
    };
    let bytes = response.write_to_bytes().map_err(|source| Error::Message { what: "the answer", source })?;
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).doing(|| "cannot answer".into())
}
