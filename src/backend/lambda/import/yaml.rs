//! A template's YAML or JSON as a value: CloudFormation's short tags (`!Ref X`, `!Sub …`) as the mappings that they stand
//! for. An ordinary reader loses them, and takes the name of a resource for a text.
use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

/// Values in a template, at most: CloudFormation itself takes a megabyte.
const MOST: usize = 500_000;

/// Reads it.
///
/// # Errors
/// What is wrong and on which line.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), count: 0 };
    let mut root = Value::Null;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(root),
            event if event.is_node() && root.is_null() => root = reader.node(event)?,
            _ => {}
        }
    }
}

struct Reader<'s> {
    parser: Parser<'s, StrInput<'s>>,
    count: usize,
}

impl<'s> Reader<'s> {
    fn next(&mut self) -> Result<Event<'s>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn node(&mut self, event: Event<'s>) -> Result<Value, String> {
        self.count += 1;
        if self.count > MOST {
            return Err("it has too many values for a template".into());
        }
        let tag = event.tag().filter(|tag| tag.is_custom()).map(Tag::original);
        let value = match event {
            Event::Scalar(text, style, ..) if style == ScalarStyle::Plain && tag.is_none() => scalar(&text),
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break Value::Array(items),
                        Event::StreamEnd => return Err("it ends in the middle of a list".into()),
                        event => items.push(self.node(event)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break Value::Object(map),
                        Event::StreamEnd => return Err("it ends in the middle of a mapping".into()),
                        event => self.node(event)?,
                    };
                    let event = self.next()?;
                    let value = self.node(event)?;
                    map.insert(key.as_str().map_or_else(|| key.to_string(), str::to_owned), value);
                }
            }
            // CloudFormation takes no aliases.
            Event::Alias(_) => return Err("CloudFormation takes no aliases (`*name`)".into()),
            _ => Value::Null,
        };
        Ok(match tag.as_deref().map(|tag| tag.trim_start_matches('!')) {
            None => value,
            Some("Ref") => json!({"Ref": value}),
            Some("Condition") => json!({"Condition": value}),
            Some(function) => json!({format!("Fn::{function}"): value}),
        })
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        text => match text.parse::<i64>() {
            // Account numbers and codes with a zero in front are no numbers.
            Ok(number) if number.to_string() == text => number.into(),
            _ => text.into(),
        },
    }
}
