//! Bounds on foreign input. Real families stay far below them; hostile ones stop here.

/// Bytes of one YAML file.
pub const FILE_BYTES: u64 = 1 << 20;
/// Depth of nested collections in one file. The schema needs five.
pub const DEPTH: usize = 12;
/// Collections and scalars of one file, aliases counted as often as they are used.
pub const YAML_NODES: usize = 60_000;
/// Bytes of one scalar.
pub const SCALAR_BYTES: usize = 64 << 10;
/// Bytes of scalars that had to be copied out of the text (escapes, folding, aliases).
pub const COPIED_BYTES: usize = 4 << 20;
/// Entries of one `exports`, `environ` or `capabilities` list.
pub const LIST_ENTRIES: usize = 5_000;
/// Mistakes reported for one file before the rest is only counted.
pub const MISTAKES: usize = 100;
/// Nodes of one family.
pub const FAMILY_NODES: usize = 64;
/// Depth of variables found in the values of variables.
pub const EXPANSION_DEPTH: usize = 16;
/// Variables looked up for one text. With [`EXPANSION_DEPTH`] alone a value that names two
/// others at each level would still cost two to the power of the depth.
pub const EXPANSION_STEPS: usize = 1_000;
/// Bytes of one expanded text.
pub const EXPANDED_BYTES: usize = 64 << 10;
/// Bytes of a path, as the kernel has it (`PATH_MAX`, with its closing zero).
pub const PATH_BYTES: usize = 4_096;
/// Bytes of one component of a path (`NAME_MAX`).
pub const NAME_BYTES: usize = 255;
/// Commands run for one plan.
pub const COMMANDS: usize = 64;
/// Bytes a command may print.
pub const COMMAND_OUTPUT: usize = 64 << 10;
/// Milliseconds a command may take.
pub const COMMAND_MILLIS: u64 = 2_000;
