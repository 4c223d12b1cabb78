//! Text and attributes of XML elements, with what entities stand for.

use quick_xml::Decoder;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// What an event adds to the text of the element that is open; `None` when it is no text.
pub(super) fn text(event: &Event<'_>) -> Result<Option<String>, String> {
    let text = match event {
        Event::Text(text) => text.decode(),
        Event::CData(text) => text.decode(),
        Event::GeneralRef(entity) => return reference(entity).map(Some),
        _ => return Ok(None),
    };
    text.map(|text| Some(text.into_owned())).map_err(|error| error.to_string())
}

fn reference(entity: &BytesRef<'_>) -> Result<String, String> {
    if let Some(c) = entity.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(c.to_string());
    }
    let name = entity.decode().map_err(|error| error.to_string())?;
    resolve_predefined_entity(&name).map(str::to_owned).ok_or_else(|| format!("unknown entity `&{name};`"))
}

/// The value of an attribute.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str, decoder: Decoder) -> Option<String> {
    let found = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name.as_bytes())?;
    found.decode_and_unescape_value(decoder).ok().map(|value| value.into_owned())
}
