//! `red-runtime update`

use std::io::Read;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources};

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
    /// Bytes of memory
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Bytes of memory and swap together
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Number of processes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Microseconds of processor time in a period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Microseconds of a period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Share of the processors among containers
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Processors
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    let store = global.store();
    let record = store.read(&args.id)?;
    let status = record.status(&store);
    if status == Status::Stopped {
        return Err(LaunchError::NotRunning { id: record.id }.into());
    }
    let Some(cgroups) = &record.cgroups else {
        return Err(
            LaunchError::refused(format!("container `{}`", args.id), "it has no cgroup to limit").into()
        );
    };
    let resources = match &args.resources {
        Some(path) => read(path)?,
        None => args.resources(),
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
        std::fs::File::open(path)?.take(1 << 20).read_to_string(&mut text)?;
    }
    let resources = serde_json::from_str(&text);
    Ok(resources.map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?)
}

impl Args {
    fn resources(&self) -> LinuxResources {
        let mut resources = LinuxResources::default();
        if self.memory.is_some() || self.memory_swap.is_some() {
            let mut memory = LinuxMemoryBuilder::default();
            if let Some(limit) = self.memory {
                memory = memory.limit(limit);
            }
            if let Some(swap) = self.memory_swap {
                memory = memory.swap(swap);
            }
            resources.set_memory(memory.build().ok());
        }
        if let Some(limit) = self.pids_limit {
            resources.set_pids(LinuxPidsBuilder::default().limit(limit).build().ok());
        }
        let mut cpu = LinuxCpuBuilder::default();
        let mut any = false;
        if let Some(quota) = self.cpu_quota {
            (cpu, any) = (cpu.quota(quota), true);
        }
        if let Some(period) = self.cpu_period {
            (cpu, any) = (cpu.period(period), true);
        }
        if let Some(share) = self.cpu_share {
            (cpu, any) = (cpu.shares(share), true);
        }
        if let Some(cpus) = &self.cpuset_cpus {
            (cpu, any) = (cpu.cpus(cpus.clone()), true);
        }
        if any {
            resources.set_cpu(cpu.build().ok());
        }
        resources
    }
}
