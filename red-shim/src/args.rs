//! The command line, as containerd writes it: flags of Go's `flag` package, then a verb.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Print the version.
    Version,
    /// Print what the runtime can do.
    Info,
    /// Start a shim, or find the one of the group, and print its address.
    Start,
    /// Clean up after a shim that has gone.
    Delete,
    /// Nothing of these.
    Serve,
}

/// The command line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Args {
    /// Namespace of containerd that the container is in.
    pub(crate) namespace: String,
    /// Name of the container.
    pub(crate) id: String,
    /// containerd's gRPC socket.
    pub(crate) address: String,
    /// Directory of the bundle; the working directory without it.
    pub(crate) bundle: Option<PathBuf>,
    /// What to do.
    pub(crate) action: Action,
}

impl Args {
    /// Reads them.
    ///
    /// # Errors
    /// A flag that is not known, a value that is missing, a name that is none.
    pub(crate) fn parse(words: Vec<OsString>) -> Result<Self, Error> {
        let mut args = Self {
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: None,
            action: Action::Serve,
        };
        let mut words = words.into_iter().map(|word| {
            word.into_string().map_err(|word| Error::Usage(format!("{} is not text", word.display())))
        });
        let mut verb = None;
        while let Some(word) = words.next().transpose()? {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                verb.get_or_insert(word);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "v" | "version" => args.action = Action::Version,
                "info" => args.action = Action::Info,
                // Only errors are written, whatever is asked for.
                "debug" => {}
                "namespace" | "id" | "address" | "bundle" | "socket" | "publish-binary" => {
                    let value = match value {
                        Some(value) => value,
                        None => words
                            .next()
                            .transpose()?
                            .ok_or_else(|| Error::Usage(format!("-{name} needs a value")))?,
                    };
                    args.set(name, value);
                }
                _ => return Err(Error::Usage(format!("flag `-{name}` is not known"))),
            }
        }
        if args.action == Action::Serve {
            args.action = match verb.as_deref() {
                Some("start") => Action::Start,
                Some("delete") => Action::Delete,
                Some(other) => return Err(Error::Usage(format!("`{other}` is not known: start or delete"))),
                None => Action::Serve,
            };
        }
        if matches!(args.action, Action::Start | Action::Delete) {
            identifier("-namespace", &args.namespace)?;
            identifier("-id", &args.id)?;
        }
        Ok(args)
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => self.bundle = Some(value.into()),
            // containerd's own program could publish events; they go over its socket.
            _ => {}
        }
    }
}

/// Checks a name as containerd does (containerd, pkg/identifiers): it becomes part of paths.
///
/// # Errors
/// It is not a name.
pub(crate) fn identifier(what: &str, name: &str) -> Result<(), Error> {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    if bytes.len() <= 76 && bytes.iter().all(inner) && ends(bytes.first()) && ends(bytes.last()) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::Invalid(format!(
        "{what} `{shown}` is not a name: letters, digits and single . _ - between them"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Error> {
        Args::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn as_containerd_calls_it() {
        let args = parse(
            "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id a1 -debug start",
        )
        .expect("1.6 to 2.2");
        assert_eq!((args.action, args.namespace.as_str(), args.id.as_str()), (Action::Start, "k8s.io", "a1"));
        let args = parse("-id=a1 --namespace=default -address= -bundle /b delete").expect("Go's other forms");
        assert_eq!((args.action, args.bundle), (Action::Delete, Some("/b".into())));
        assert_eq!(parse("-v").expect("alone").action, Action::Version);
        assert_eq!(parse("-info").expect("alone").action, Action::Info);
    }

    #[test]
    fn what_is_not_known_is_refused() {
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
