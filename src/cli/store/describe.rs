//! `faas store describe`.
use std::collections::BTreeMap;

use clap::Args;

use super::StoreFlags;
use crate::context::Context;
use crate::error::Result;
use crate::output::{plain, table};
use crate::store::Item;

/// How wide descriptions are set.
const WIDTH: usize = 80;

/// Show a function of the store
#[derive(Args)]
#[command(after_help = "Example:\n  faas store describe nodeinfo")]
pub struct Describe {
    /// Its name or title
    #[arg(value_name = "NAME")]
    name: String,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

impl Describe {
    /// Prints it.
    ///
    /// # Errors
    /// When the store can't be read, or has it not for this platform.
    pub fn run(self, flags: &StoreFlags, context: &Context) -> Result<()> {
        let store = flags.read(context)?;
        let item = store.find(&self.name, flags.platform())?;
        context.out.json_if(self.json).result(item, || shown(item, flags.platform()))
    }
}

fn shown(item: &Item, platform: &str) -> String {
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let head = [row("Title:", &item.title), row("Author:", &item.author), row("Description:", "")];
    let more = [
        row("Image:", item.image(platform).unwrap_or_default()),
        row("Process:", &item.fprocess),
        row("Repo URL:", &item.repo_url),
    ];
    let mut text = table::tabbed(&[], &head);
    text += &format!("{}\n\n{}", wrapped(&plain(&item.description)), table::tabbed(&[], &more));
    for (title, pairs) in
        [("Environment", &item.environment), ("Labels", &item.labels), ("Annotations", &item.annotations)]
    {
        let none = BTreeMap::new();
        let pairs = pairs.as_ref().unwrap_or(&none);
        if !pairs.is_empty() {
            let rows: Vec<Vec<String>> =
                pairs.iter().map(|(key, value)| vec!["- ".to_owned(), format!("{key}:"), value.clone()]).collect();
            text += &format!("{title}:\n{}\n", table::tabbed(&[], &rows));
        }
    }
    text
}

/// Text in lines of at most [`WIDTH`] characters, broken between words.
fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut current = String::new();
        for word in line.split(' ') {
            let length = current.chars().count() + word.chars().count() + 1;
            if !current.is_empty() && length > WIDTH {
                lines.push(std::mem::take(&mut current));
            } else if !current.is_empty() {
                current.push(' ');
            }
            current += word;
        }
        lines.push(current);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_broken_between_words() {
        let text = format!("{} {}\nshort", "a".repeat(50), "b".repeat(50));
        assert_eq!(wrapped(&text), format!("{}\n{}\nshort", "a".repeat(50), "b".repeat(50)));
        assert_eq!(wrapped(&"c".repeat(100)), "c".repeat(100));
    }
}
