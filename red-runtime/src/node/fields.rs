//! Maps checked against a table of [`schema`], and the values in them.

use super::diagnostic::{Code, Diagnostic, Report};
use super::limits;
use super::schema::{Field, Kind};
use super::source::Located;
use super::value::{self, Wrong};
use super::yaml::{Value, Yaml};

/// Where mistakes go while a file is decoded.
pub(crate) struct Reader<'r> {
    pub(crate) report: &'r mut Report,
}

/// The entries of one map, by the position of their key in the table.
pub(crate) struct Fields<'a, 't> {
    table: &'static [Field],
    slots: Vec<Option<&'a Yaml<'t>>>,
}

impl Reader<'_> {
    /// Reads `node` as a map with the keys of `table`, reporting unknown, repeated, missing and
    /// ignored keys and values of the wrong kind. A node that is no map reads as an empty one.
    pub(crate) fn map<'a, 't>(
        &mut self,
        node: &'a Yaml<'t>,
        table: &'static [Field],
        what: &str,
    ) -> Fields<'a, 't> {
        let mut fields = Fields { table, slots: vec![None; table.len()] };
        let Value::Map(pairs) = &node.value else {
            self.report.push(
                Diagnostic::error(Code::WrongType, format!("{what} must be a map, not {}", node.kind()))
                    .at(node.at)
                    .help(format!("keys: {}", names(table).join(", "))),
            );
            return fields;
        };
        let mut first_of: Vec<Option<&Yaml<'_>>> = vec![None; table.len()];
        for (key, value) in pairs {
            let Some(index) = self.known(key, table, what) else { continue };
            if let Some(first) = first_of[index] {
                let name = table[index].name;
                self.report.push(
                    Diagnostic::error(Code::DuplicateKey, format!("`{name}` stands twice in {what}"))
                        .at(key.at)
                        .related(first.at, "the first one")
                        .help("keep one of the two"),
                );
                continue;
            }
            first_of[index] = Some(key);
            fields.slots[index] = self.usable(key, value, &table[index]);
        }
        for (field, first) in table.iter().zip(&first_of) {
            if field.required && first.is_none() {
                self.report.push(
                    Diagnostic::error(Code::MissingKey, format!("{what} has no `{}`", field.name))
                        .at(node.at)
                        .help(sentence(field.doc)),
                );
            }
        }
        fields
    }

    /// The position of a key in the table.
    fn known(&mut self, key: &Yaml<'_>, table: &'static [Field], what: &str) -> Option<usize> {
        let Value::Scalar(text) = &key.value else {
            self.report.push(
                Diagnostic::error(Code::WrongType, format!("a key of {what} is {}", key.kind())).at(key.at),
            );
            return None;
        };
        let found = table.iter().position(|field| field.name.eq_ignore_ascii_case(text));
        if found.is_none() {
            let help = match value::nearest(text, names(table)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("keys: {}", names(table).join(", ")),
            };
            let shown = shorten(text);
            self.report.push(
                Diagnostic::error(Code::UnknownKey, format!("unknown key `{shown}` in {what}"))
                    .at(key.at)
                    .help(help),
            );
        }
        found
    }

    /// The value if it is of the kind the table wants; an absent value is as good as no key.
    fn usable<'a, 't>(&mut self, key: &Yaml<'_>, value: &'a Yaml<'t>, field: &Field) -> Option<&'a Yaml<'t>> {
        let name = field.name;
        let wanted = match (field.kind, &value.value) {
            (Kind::Ignored, _) => {
                self.report.push(
                    Diagnostic::note(Code::IgnoredKey, format!("`{name}` has no effect"))
                        .at(key.at)
                        .help("it is left from an older release: remove it"),
                );
                return None;
            }
            (_, Value::Empty) if field.required => "a value",
            (_, Value::Empty) => return None,
            (Kind::Map(_), Value::Map(_)) | (Kind::List(_) | Kind::TextList, Value::List(_)) => {
                return Some(value);
            }
            (Kind::Map(_), _) => "a map",
            (Kind::List(_) | Kind::TextList, _) => "a list",
            (_, Value::Scalar(_)) => return Some(value),
            _ => "a single value",
        };
        self.report.push(
            Diagnostic::error(Code::WrongType, format!("`{name}` must be {wanted}, not {}", value.kind()))
                .at(if matches!(value.value, Value::Empty) { key.at } else { value.at })
                .help(sentence(field.doc)),
        );
        None
    }
}

impl<'a, 't> Fields<'a, 't> {
    /// A map in which nothing stands.
    pub(crate) fn empty(table: &'static [Field]) -> Self {
        Self { table, slots: vec![None; table.len()] }
    }

    fn get(&self, name: &str) -> Option<&'a Yaml<'t>> {
        let index = self.table.iter().position(|field| field.name == name);
        debug_assert!(index.is_some(), "`{name}` is not in the table");
        self.slots[index?]
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A value that is itself a map.
    pub(crate) fn map(&self, name: &str) -> Option<&'a Yaml<'t>> {
        self.get(name)
    }

    /// A scalar as written.
    pub(crate) fn text(&self, reader: &mut Reader<'_>, name: &str) -> Option<Located<String>> {
        let text = self.text_or_empty(reader, name)?;
        if text.value.is_empty() { None } else { Some(text) }
    }

    /// A scalar as written, where an empty one has a meaning.
    pub(crate) fn text_or_empty(&self, reader: &mut Reader<'_>, name: &str) -> Option<Located<String>> {
        let node = self.get(name)?;
        let Value::Scalar(text) = &node.value else { return None };
        if text.contains('\0') {
            reader.report.push(
                Diagnostic::error(Code::BadValue, format!("`{name}` has a zero byte in it")).at(node.at),
            );
            return None;
        }
        Some(Located::new(text.clone().into_owned(), node.at))
    }

    /// A scalar read by `parse`.
    pub(crate) fn parsed<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Located<T>> {
        let text = self.text_or_empty(reader, name)?;
        match parse(text.value.trim()) {
            Ok(value) => Some(Located::new(value, text.at)),
            Err(wrong) => {
                let shown = shorten(&text.value);
                reader.report.push(
                    Diagnostic::error(Code::BadValue, format!("`{name}: {shown}` is not {}", wrong.wanted))
                        .at(text.at)
                        .maybe_help(wrong.help),
                );
                None
            }
        }
    }

    /// A list, entry by entry; entries that cannot be used are left out.
    pub(crate) fn list<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        read: impl Fn(&mut Reader<'_>, &Yaml<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(Yaml { value: Value::List(items), at }) = self.get(name) else { return Vec::new() };
        if items.len() > limits::LIST_ENTRIES {
            let most = limits::LIST_ENTRIES;
            reader.report.push(
                Diagnostic::error(
                    Code::TooLarge,
                    format!("`{name}` has {} entries, more than {most}", items.len()),
                )
                .at(*at),
            );
            return Vec::new();
        }
        items.iter().filter_map(|item| read(reader, item)).collect()
    }
}

/// An entry of a list read by `parse`.
pub(crate) fn entry<T>(
    reader: &mut Reader<'_>,
    node: &Yaml<'_>,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<Located<T>> {
    let diagnostic = match &node.value {
        Value::Scalar(text) => match parse(text.trim()) {
            Ok(value) => return Some(Located::new(value, node.at)),
            Err(wrong) => {
                let message = format!("`{}` is not {}", shorten(text), wrong.wanted);
                Diagnostic::error(Code::BadValue, message).maybe_help(wrong.help)
            }
        },
        _ => {
            let message = format!("an entry must be a single value, not {}", node.kind());
            Diagnostic::error(Code::WrongType, message)
        }
    };
    reader.report.push(diagnostic.at(node.at));
    None
}

/// Names of the keys that have an effect.
fn names(table: &'static [Field]) -> Vec<&'static str> {
    table.iter().filter(|field| !matches!(field.kind, Kind::Ignored)).map(|field| field.name).collect()
}

/// A description as a hint: hints begin in lower case.
fn sentence(doc: &str) -> String {
    let mut letters = doc.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Keeps a quoted text within one line of a message.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
