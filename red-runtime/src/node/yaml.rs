//! YAML text → a tree that knows the place of everything in it, within bounds.
//!
//! The parser (`saphyr-parser`) gives events; this module turns them into a tree and stops as
//! soon as a bound of [`limits`] is passed, so that alias bombs and deep nesting cost
//! no more than reading their first bytes. A serde deserializer was not taken because it stops
//! at the first mistake and forgets places; people want all mistakes of a file at once.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostic::{Code, Diagnostic};
use super::limits;
use super::source::{At, FileId};

/// One node of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Yaml<'t> {
    /// Where it starts.
    pub(crate) at: At,
    /// What it is.
    pub(crate) value: Value<'t>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'t> {
    /// A key without a value.
    Empty,
    /// A scalar as written, whatever YAML type it might have: the schema decides.
    Scalar(Cow<'t, str>),
    List(Vec<Yaml<'t>>),
    Map(Vec<(Yaml<'t>, Yaml<'t>)>),
}

impl Yaml<'_> {
    /// The word for what it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Empty => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads one document.
///
/// # Errors
/// One diagnostic: what the text's first syntax error or exceeded bound is. `Ok(None)` is an
/// empty document.
pub(crate) fn parse(file: FileId, text: &str) -> Result<Option<Yaml<'_>>, Box<Diagnostic>> {
    let mut composer = Composer::new(file);
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| composer.syntax(&error))?;
        composer.accept(event, span)?;
    }
    Ok(composer.root)
}

/// A collection that is still open.
struct Open<'t> {
    at: At,
    anchor: usize,
    /// Nodes it and its contents are made of.
    size: usize,
    content: Content<'t>,
}

enum Content<'t> {
    List(Vec<Yaml<'t>>),
    Map(Vec<(Yaml<'t>, Yaml<'t>)>, Option<Yaml<'t>>),
}

struct Composer<'t> {
    file: FileId,
    open: Vec<Open<'t>>,
    root: Option<Yaml<'t>>,
    documents: usize,
    anchors: HashMap<usize, (Yaml<'t>, usize)>,
    nodes: usize,
    copied: usize,
}

impl<'t> Composer<'t> {
    fn new(file: FileId) -> Self {
        Self {
            file,
            open: Vec::new(),
            root: None,
            documents: 0,
            anchors: HashMap::new(),
            nodes: 0,
            copied: 0,
        }
    }

    fn accept(&mut self, event: Event<'t>, span: Span) -> Result<(), Box<Diagnostic>> {
        let at = self.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self
                        .stop(at, Code::YamlSyntax, "more than one document in the file")
                        .help("keep what stands before the second `---`")
                        .into());
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(at, tag.as_deref())?;
                let value = self.scalar(at, text, style)?;
                self.finish(Yaml { at, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(at, tag.as_deref())?;
                self.enter(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(at, tag.as_deref())?;
                self.enter(at, anchor, Content::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(id) => {
                let Some((copy, size)) = self.anchors.get(&id).cloned() else {
                    return Err(self.stop(at, Code::YamlSyntax, "an anchor that contains itself").into());
                };
                self.copied += copied_bytes(&copy);
                self.check_copied(at)?;
                self.finish(Yaml { at, ..copy }, 0, size)
            }
        }
    }

    /// A tag would ask for a type of its own; the schema has none.
    fn tag(&self, at: At, tag: Option<&saphyr_parser::Tag>) -> Result<(), Box<Diagnostic>> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => Err(self
                .stop(at, Code::YamlSyntax, format!("the tag `{tag}` means nothing here"))
                .help("remove it")
                .into()),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        at: At,
        text: Cow<'t, str>,
        style: ScalarStyle,
    ) -> Result<Value<'t>, Box<Diagnostic>> {
        if text.is_empty() && style == ScalarStyle::Plain {
            return Ok(Value::Empty);
        }
        if text.len() > limits::SCALAR_BYTES {
            let most = limits::SCALAR_BYTES;
            return Err(self.stop(at, Code::TooLarge, format!("a value of more than {most} bytes")).into());
        }
        if let Cow::Owned(owned) = &text {
            self.copied += owned.len();
            self.check_copied(at)?;
        }
        Ok(Value::Scalar(text))
    }

    fn enter(&mut self, at: At, anchor: usize, content: Content<'t>) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= limits::DEPTH {
            let most = limits::DEPTH;
            return Err(self.stop(at, Code::TooDeep, format!("nested deeper than {most} levels")).into());
        }
        self.open.push(Open { at, anchor, size: 1, content });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map(pairs, _) => Value::Map(pairs),
        };
        // Its contents were counted one by one when they came.
        self.finish_counted(Yaml { at: open.at, value }, open.anchor, open.size, 1)
    }

    fn finish(&mut self, node: Yaml<'t>, anchor: usize, size: usize) -> Result<(), Box<Diagnostic>> {
        self.finish_counted(node, anchor, size, size)
    }

    fn finish_counted(
        &mut self,
        node: Yaml<'t>,
        anchor: usize,
        size: usize,
        new: usize,
    ) -> Result<(), Box<Diagnostic>> {
        // What an anchor keeps is a copy too.
        let kept = if anchor > 0 { size } else { 0 };
        self.nodes = self.nodes.saturating_add(new).saturating_add(kept);
        if self.nodes > limits::YAML_NODES {
            let most = limits::YAML_NODES;
            return Err(self
                .stop(node.at, Code::TooLarge, format!("more than {most} values, aliases included"))
                .into());
        }
        if anchor > 0 {
            self.copied += copied_bytes(&node);
            self.check_copied(node.at)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = if matches!(node.value, Value::Empty) { None } else { Some(node) };
            return Ok(());
        };
        open.size += size;
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map(pairs, key) => match key.take() {
                None => *key = Some(node),
                Some(first) => pairs.push((first, node)),
            },
        }
        Ok(())
    }

    fn check_copied(&self, at: At) -> Result<(), Box<Diagnostic>> {
        if self.copied <= limits::COPIED_BYTES {
            return Ok(());
        }
        let most = limits::COPIED_BYTES;
        Err(self.stop(at, Code::TooLarge, format!("more than {most} bytes of text, aliases included")).into())
    }

    fn place(&self, span: Span) -> At {
        let (start, end) = (span.start, span.end);
        let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
        self.mark(start, length)
    }

    fn mark(&self, marker: Marker, length: usize) -> At {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        At {
            file: self.file,
            line: number(marker.line()),
            column: number(marker.col()).saturating_add(1),
            length: number(length.max(1)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Box<Diagnostic> {
        let at = self.mark(*error.marker(), 1);
        Box::new(
            Diagnostic::error(Code::YamlSyntax, format!("not valid YAML: {}", error.info()))
                .at(at)
                .maybe_help(hint(error.info())),
        )
    }

    fn stop(&self, at: At, code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(at)
    }
}

/// Bytes a clone of the tree would copy.
fn copied_bytes(node: &Yaml<'_>) -> usize {
    match &node.value {
        Value::Scalar(Cow::Owned(text)) => text.len(),
        Value::Empty | Value::Scalar(Cow::Borrowed(_)) => 0,
        Value::List(items) => items.iter().map(copied_bytes).sum(),
        Value::Map(pairs) => pairs.iter().map(|(k, v)| copied_bytes(k) + copied_bytes(v)).sum(),
    }
}

/// What people usually did when the parser says this.
fn hint(info: &str) -> Option<String> {
    let info = info.to_ascii_lowercase();
    let hint = if info.contains("tab") {
        "YAML is indented with spaces only: replace the tab"
    } else if info.contains("quote") || info.contains("quoted") {
        "look for a quote that is not closed"
    } else if info.contains("mapping values") || info.contains("mapping") || info.contains("simple key") {
        "look at the indentation, and quote values that contain `: `"
    } else if info.contains("anchor") {
        "an alias `*name` needs an anchor `&name` before it"
    } else {
        return None;
    };
    Some(hint.to_owned())
}
