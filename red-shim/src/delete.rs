//! `delete`: cleanup after a dead shim.

use std::io::Write;
use std::time::SystemTime;

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::shim::shim::DeleteResponse;

use crate::address;
use crate::args::Args;
use crate::error::{Context, Error, encode};
use crate::files::read_bounded;
use crate::rootfs;
use crate::runtime::Runtime;

/// Exit status after SIGKILL.
const SIGKILL_STATUS: u32 = 128 + 9;

/// Maximum size of the `address` file in bytes.
const MAX_ADDRESS_BYTES: u64 = 4096;

/// Removes a container's processes, cgroups, state and mounts, and prints a `DeleteResponse`.
///
/// # Errors
/// `delete --force` fails, or stdout cannot be written.
pub(crate) fn delete(args: &Args) -> Result<(), Error> {
    let bundle = match &args.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().context(|| "cannot get the working directory".into())?,
    };
    // A killed shim leaves its socket. In a group, `delete` of another container may have removed it already.
    if let Ok(address) = read_bounded(&bundle.join("address"), MAX_ADDRESS_BYTES)
        && let Some(socket) = std::str::from_utf8(&address).ok().and_then(address::parse)
        && let Err(error) = address::remove_stale(socket)
    {
        crate::sys::log(&error.to_string());
    }
    let deleted = Runtime::load(&bundle, &args.namespace).force_delete(&args.id);
    rootfs::unmount_all(&bundle.join("rootfs"));
    deleted?;
    let response = DeleteResponse {
        exit_status: SIGKILL_STATUS,
        exited_at: MessageField::some(SystemTime::now().into()),
        ..DeleteResponse::default()
    };
    let bytes = encode(&response, "DeleteResponse")?;
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).context(|| "cannot write to stdout".into())
}
