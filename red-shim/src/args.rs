//! The command line, as containerd passes it: flags in the syntax of Go's `flag` package, then a command.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;

/// The action selected by flag or command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Print what the program is for.
    Help,
    /// Print the version.
    Version,
    /// Print the runtime's features.
    Info,
    /// Start a shim, or reuse the group's running one, and print its address.
    Start,
    /// Clean up after a dead shim.
    Delete,
    /// No action given.
    Unspecified,
}

/// Parsed command line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Args {
    /// containerd namespace of the container.
    pub(crate) namespace: String,
    /// Container ID.
    pub(crate) id: String,
    /// Path of containerd's gRPC socket.
    pub(crate) address: String,
    /// Bundle directory; the working directory if unset.
    pub(crate) bundle: Option<PathBuf>,
    /// Action to run.
    pub(crate) action: Action,
}

impl Args {
    /// Parses the arguments.
    ///
    /// # Errors
    /// An unknown flag or command, a missing flag value, an invalid namespace or container ID, invalid UTF-8.
    pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Self, Error> {
        let mut args = Self {
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: None,
            action: Action::Unspecified,
        };
        let mut arguments = arguments.into_iter().map(|argument| {
            argument.into_string().map_err(|argument| {
                Error::Usage(format!("invalid argument {}: not valid UTF-8", argument.display()))
            })
        });
        let mut command = None;
        while let Some(word) = arguments.next().transpose()? {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                command.get_or_insert(word);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "h" | "help" => args.action = Action::Help,
                "v" | "version" => args.action = Action::Version,
                "info" => args.action = Action::Info,
                // The shim logs errors only.
                "debug" => {}
                "namespace" | "id" | "address" | "bundle" | "socket" | "publish-binary" => {
                    let value = match value {
                        Some(value) => value,
                        None => arguments
                            .next()
                            .transpose()?
                            .ok_or_else(|| Error::Usage(format!("flag needs an argument: -{name}")))?,
                    };
                    args.set(name, value);
                }
                _ => return Err(Error::Usage(format!("unknown flag: -{name}"))),
            }
        }
        if args.action == Action::Unspecified {
            args.action = match command.as_deref() {
                Some("start") => Action::Start,
                Some("delete") => Action::Delete,
                Some(other) => {
                    return Err(Error::Usage(format!("unknown command: {other} (expected start or delete)")));
                }
                None => Action::Unspecified,
            };
        }
        if matches!(args.action, Action::Start | Action::Delete) {
            args.validate()?;
        }
        Ok(args)
    }

    fn validate(&self) -> Result<(), Error> {
        for (flag, kind, value) in
            [("namespace", "namespace", &self.namespace), ("id", "container ID", &self.id)]
        {
            if value.is_empty() {
                return Err(Error::Usage(format!("missing flag: -{flag} is required")));
            }
            validate_id(kind, value)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => self.bundle = Some(value.into()),
            // Events are forwarded over ttrpc, not through the publish binary.
            _ => {}
        }
    }
}

/// Validates an ID by containerd's rules (containerd, pkg/identifiers), since it becomes a path component.
///
/// # Errors
/// [`Error::Invalid`] if the ID is empty, longer than 76 bytes, or has other characters.
pub(crate) fn validate_id(kind: &str, id: &str) -> Result<(), Error> {
    let bytes = id.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    if bytes.len() <= 76 && bytes.iter().all(inner) && ends(bytes.first()) && ends(bytes.last()) {
        return Ok(());
    }
    let shown: String = id.chars().take(80).collect();
    Err(Error::Invalid(format!(
        "invalid {kind} `{shown}`: expected at most 76 letters, digits and inner `.`, `_`, `-`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Error> {
        Args::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn containerd_command_lines_are_parsed() {
        let args = parse(
            "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id a1 -debug start",
        )
        .expect("the flags of containerd 1.6 to 2.2");
        assert_eq!((args.action, args.namespace.as_str(), args.id.as_str()), (Action::Start, "k8s.io", "a1"));
        let args = parse("-id=a1 --namespace=default -address= -bundle /b delete")
            .expect("the other flag forms of Go");
        assert_eq!((args.action, args.bundle), (Action::Delete, Some("/b".into())));
        assert_eq!(parse("-v").expect("no command is needed").action, Action::Version);
        assert_eq!(parse("-info").expect("no command is needed").action, Action::Info);
    }

    #[test]
    fn unknown_flags_and_invalid_ids_are_refused() {
        for line in [
            "-namespace default -id a/b start",
            "-namespace .. -id a start",
            "-namespace default start",
            "-frobnicate start",
            "-namespace default -id a restart",
            "-namespace default -id",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
