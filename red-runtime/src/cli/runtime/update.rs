//! `red-runtime update`

use std::io::Read;
use std::path::PathBuf;

use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
};

use super::size::bytes;
use super::{Exit, Global, RunError};
use crate::launch::cgroup;
use crate::launch::container::Status;
use crate::launch::error::LaunchError;
use crate::spec::engine::limits::both;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File with resources as in an OCI configuration, `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Bytes of memory; with K, M, G or T behind it in that unit, -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = bytes)]
    memory: Option<i64>,
    /// Bytes of memory that are left to it where memory is short
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Bytes of memory and swap together
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = bytes)]
    memory_swap: Option<i64>,
    /// Accepted for runc compatibility; the kernel no longer has this limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = bytes)]
    kernel_memory: Option<i64>,
    /// Accepted for runc compatibility; the kernel no longer has this limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = bytes)]
    kernel_memory_tcp: Option<i64>,
    /// Number of processes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Weight of block I/O among containers, 10 to 1000
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(0..=1000))]
    blkio_weight: Option<u16>,
    /// Microseconds of processor time in a period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Microseconds of a period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time that may be saved up for a burst
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_burst: Option<u64>,
    /// Microseconds of realtime processor time in a period (version 1)
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// Microseconds of a realtime period (version 1)
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Share of the processors among containers
    #[arg(long, alias = "cpu-shares", value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Run only when nothing else wants to: 0 or 1
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(i64).range(0..=1))]
    cpu_idle: Option<i64>,
    /// CPUs to use
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Not supported
    #[arg(long, value_name = "SCHEMA", hide = true)]
    l3_cache_schema: Option<String>,
    /// Not supported
    #[arg(long, value_name = "SCHEMA", hide = true)]
    mem_bw_schema: Option<String>,
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    if args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some() {
        return Err(RunError::Unsupported(
            "--l3-cache-schema and --mem-bw-schema: no resctrl group is made for containers",
        ));
    }
    let store = global.store();
    let record = store.read(&args.id)?;
    let status = record.status(&store);
    if status == Status::Stopped {
        return Err(LaunchError::NotRunning { id: record.id }.into());
    }
    if status == Status::Creating {
        return Err(LaunchError::State { id: record.id, status: status.name(), verb: "updated" }.into());
    }
    let Some(cgroups) = &record.cgroups else {
        return Err(
            LaunchError::refused(format!("container `{}`", args.id), "it has no cgroup to limit").into()
        );
    };
    let resources = match &args.resources {
        Some(path) => read(path)?,
        None => args.resources()?,
    };
    // Within the limits of the node, whatever the engine asks for.
    let resources = match &record.limits {
        Some(own) => both(resources, own),
        None => resources,
    };
    // The device filter stays as it was made, whatever the resources say of devices: engines send back
    // those of the configuration.
    cgroup::keep_devices(cgroups)?;
    cgroup::apply(cgroups, &resources)?;
    Ok(Exit::Success)
}

fn read(path: &std::path::Path) -> Result<LinuxResources, RunError> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(1 << 20).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(1 << 20).read_to_string(&mut text))
            .map_err(|error| super::unreadable(path, &error))?;
    }
    let resources = serde_json::from_str(&text);
    Ok(resources.map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?)
}

impl Args {
    fn resources(&self) -> Result<LinuxResources, RunError> {
        let bad = |error: oci_spec::OciSpecError| LaunchError::refused("update", error.to_string());
        let mut resources = LinuxResources::default();
        if self.memory.is_some() || self.memory_swap.is_some() || self.memory_reservation.is_some() {
            let mut memory = LinuxMemoryBuilder::default().build().map_err(bad)?;
            memory.set_limit(self.memory);
            memory.set_swap(self.memory_swap);
            memory.set_reservation(self.memory_reservation);
            resources.set_memory(Some(memory));
        }
        if let Some(limit) = self.pids_limit {
            resources.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build().map_err(bad)?));
        }
        // 0 leaves it as it is (runc).
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight > 0) {
            if weight < 10 {
                return Err(RunError::Usage(format!("invalid --blkio-weight {weight}: expected 10 to 1000")));
            }
            resources.set_block_io(Some(LinuxBlockIoBuilder::default().weight(weight).build().map_err(bad)?));
        }
        let mut cpu = LinuxCpuBuilder::default().build().map_err(bad)?;
        let none = cpu.clone();
        cpu.set_quota(self.cpu_quota);
        cpu.set_period(self.cpu_period);
        cpu.set_burst(self.cpu_burst);
        cpu.set_realtime_runtime(self.cpu_rt_runtime);
        cpu.set_realtime_period(self.cpu_rt_period);
        cpu.set_shares(self.cpu_share);
        cpu.set_idle(self.cpu_idle);
        cpu.set_cpus(self.cpuset_cpus.clone());
        cpu.set_mems(self.cpuset_mems.clone());
        if cpu != none {
            resources.set_cpu(Some(cpu));
        }
        Ok(resources)
    }
}
