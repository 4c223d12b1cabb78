//! What is known of a launch before anything is read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What expands the same way for every text of one launch.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// User the command runs as.
    pub uid: u32,
    /// Group the command runs as.
    pub gid: u32,
    /// Process that launches.
    pub pid: u32,
    /// The launching environment.
    pub environment: BTreeMap<String, String>,
    /// Date of the launch, once somebody asked.
    pub today: OnceLock<String>,
    /// A fresh UUID, once somebody asked.
    pub uuid: OnceLock<String>,
}

impl Launch {
    /// A launch by this process, with its environment but for what is not UTF-8, which no OCI
    /// configuration could carry.
    #[must_use]
    pub fn of_this_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            pid: std::process::id(),
            environment,
            ..Self::default()
        }
    }

    /// Variables with a meaning of their own in configurations that the launching environment may set.
    pub const BUILT_IN: [&str; 5] =
        ["CGROUPS_MOUNT_POINT", "NODE_PREFIX", "REDPESK_VERSION", "redpak_MAIN", "redpak_TMPL"];

    /// Forgets the launching environment but for [`Self::BUILT_IN`].
    pub fn forget_environment(&mut self) {
        self.environment.retain(|name, _| Self::BUILT_IN.contains(&name.as_str()));
    }

    /// `TODAY`: the date and time, such as `24-Nov-2026 10:05 (UTC)`, the same for all of a launch.
    pub fn today(&self) -> &str {
        self.today.get_or_init(|| jiff::ZonedDateTime::now().strftime("%d-%b-%Y %H:%M (%Z)").to_string())
    }

    /// `UUID`: a random one from the kernel (random(4)), the same for all of a launch.
    pub fn uuid(&self) -> &str {
        self.uuid.get_or_init(|| {
            // Without /proc there is nothing that needs one either.
            let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
            uuid.trim().to_owned()
        })
    }

    /// `NODE_PREFIX`, empty when unset.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.environment.get("NODE_PREFIX").map_or("", String::as_str)
    }
}
