//! The words that name mistakes and remarks for machines.

/// Defines the codes, their words and what they say, in one list.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $name:literal,)+) => {
        /// What a mistake or remark is about. The words are stable; new ones may come.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every code with its meaning, for the manual.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$code, concat!($($doc),+)),)+];

            /// The word used in text and JSON, such as `unknown-key`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }
        }
    };
}

codes! {
    /// A node and one of its ancestors share an alias, so what one names by alias may be the other's.
    AliasRepeated = "alias-repeated",
    /// A path cannot be used: relative where it must be absolute, above the root, too long, a circle of links.
    BadPath = "bad-path",
    /// A user or group does not exist, or cannot be mapped.
    BadUser = "bad-user",
    /// A value is not of the kind its key wants.
    BadValue = "bad-value",
    /// A node adds a capability that an ancestor dropped.
    CapabilityRegained = "capability-regained",
    /// A capability is granted with which what runs in the node, launched by root, is root of the machine.
    CapabilityRoot = "capability-root",
    /// A node would put its processes outside an ancestor's limits.
    CgroupEscape = "cgroup-escape",
    /// A command of the configuration failed, took too long, said too much or may not run.
    Command = "command",
    /// Two entries claim the same mount point, variable or capability, and say different things of it.
    ConflictDuplicate = "conflict-duplicate",
    /// A bind of a device, which is useless: binds have `nodev`.
    DeviceExport = "device-export",
    /// A key stands twice in one map.
    DuplicateKey = "duplicate-key",
    /// An engine demands what a node forbids, or would cover what it exports.
    EngineConflict = "engine-conflict",
    /// A text does not expand: too deep, too long, a command that is not closed or not allowed.
    Expansion = "expansion",
    /// A writable export covers what decides for a node or the host, or what is another node's.
    ExportDecides = "export-decides",
    /// What decides for a node lies in a writable export: it stays read-only.
    ExportKept = "export-kept",
    /// An export shows a file system of the kernel's own making, such as the host's /proc.
    ExportKernel = "export-kernel",
    /// An export gives access to a service of the host that acts with more rights than the node has.
    ExportPrivileged = "export-privileged",
    /// A node makes writable what an ancestor gives read-only.
    ExportWritable = "export-writable",
    /// The command failed for the reason given.
    Failed = "failed",
    /// A key of older releases, without effect.
    IgnoredKey = "ignored-key",
    /// What a node shows cannot be in an image, or is not in it.
    ImageContents = "image-contents",
    /// The plan cannot be put into OCI words. Please report it.
    Internal = "internal",
    /// A key that must be there is not.
    MissingKey = "missing-key",
    /// A mount point lies where none can be: in something read-only that lacks it, below a file, on a file.
    MountPoint = "mount-point",
    /// An export or limit needs a namespace of its own that the family does not have.
    NamespaceNeeded = "namespace-needed",
    /// The status of a node of the family is not `Enable`.
    NodeDisabled = "node-disabled",
    /// A node has a status but no configuration.
    NodeIncomplete = "node-incomplete",
    /// A node is not where its status says that it was made.
    NodeMoved = "node-moved",
    /// A file or directory that decides the plan could have been written by somebody who is not trusted.
    NodeOwner = "node-owner",
    /// A node lies in what another node of its family exports writable, so anything there may have made it.
    NodeWritable = "node-writable",
    /// A limit has no counterpart where it would apply, so it has no effect.
    NotApplied = "not-applied",
    /// An older node's value stands, and a younger one is not used.
    Overloaded = "overloaded",
    /// A mount or path goes through `..`.
    ParentPath = "parent-path",
    /// The plan is not the one that was pinned.
    PlanDigest = "plan-digest",
    /// An engine asks for admin mode, and the policy does not allow it for the node.
    PolicyAdmin = "policy-admin",
    /// The policy file could have been written by somebody who is not root.
    PolicyOwner = "policy-owner",
    /// An engine asks for a node that is in none of the pools.
    PolicyPool = "policy-pool",
    /// An entry is redefined that should not be without notice: it has a `warn` text, or two spellings.
    Redefined = "redefined",
    /// A node shares with the host what an ancestor does not.
    ShareLoosened = "share-loosened",
    /// What an export binds is not there; it is left out, or with `--strict` an error.
    SourceMissing = "source-missing",
    /// Collections are nested deeper than the format ever needs.
    TooDeep = "too-deep",
    /// A file, list or text is larger than any real one.
    TooLarge = "too-large",
    /// A key that is not of this format.
    UnknownKey = "unknown-key",
    /// A variable that is neither built in nor set; it expands to nothing.
    UnknownVariable = "unknown-variable",
    /// An update of a node was interrupted after it was decided, and data that belong to it are not there yet.
    UpdateInterrupted = "update-interrupted",
    /// A file cannot be read.
    Unreadable = "unreadable",
    /// A value is given where its mode does not use it.
    UnusedValue = "unused-value",
    /// An ordinary user gets a user namespace whatever the family says.
    UserNamespace = "user-namespace",
    /// A map, list or single value where another kind of thing is wanted.
    WrongType = "wrong-type",
    /// The file is not YAML.
    YamlSyntax = "yaml-syntax",
}
