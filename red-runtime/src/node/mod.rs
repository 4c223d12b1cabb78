//! What nodes and their configuration mean: text → typed → loaded → expanded → merged.

pub mod capability;
mod code;
pub mod config;
pub mod contents;
pub mod create;
pub mod decode;
pub mod diagnostic;
pub mod expand;
pub mod family;
mod fields;
pub mod generation;
pub mod guard;
pub mod json_schema;
pub mod launch;
pub mod limit_values;
pub mod limits;
pub mod load;
pub mod merge;
#[cfg(test)]
mod mistakes;
pub mod normalize;
pub mod place;
mod read;
pub mod render;
pub mod scan;
pub mod schema;
pub mod source;
pub mod text;
pub mod text_path;
pub mod value;
mod walk;
mod yaml;
