//! `faas template new`: a template of one's own, which works from the start.
use clap::Args;

use super::pull::root;
use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::template::{Catalogue, is_name};

/// Make a template of your own in template/, from one that works
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas template new shop-python --from python3\n  faas template check template/shop-python\n  \
                        faas new tax --lang shop-python"
)]
pub struct New {
    /// The template's name, which `lang:` takes
    #[arg(value_name = "NAME")]
    name: String,
    /// The built-in template to start from; `faas template list` names them
    #[arg(long, default_value = "bash", value_name = "LANG")]
    from: String,
    /// Take from that template what yours has not, instead of a copy of everything: yours gets what it mends later
    #[arg(long)]
    extend: bool,
}

impl New {
    /// Makes it.
    ///
    /// # Errors
    /// When there is one of that name, or nothing to start from.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let name = &self.name;
        if !is_name(name) || name.contains('@') {
            return Err(Fault::usage(format!("`{name}` can't be a template's name"))
                .hint("a template is named by letters, digits, `-`, `_` and `.`"));
        }
        let base = Catalogue::built_in(&self.from)?;
        let above = root(context, global).join("template");
        let folder = above.join(name);
        if std::fs::symlink_metadata(&folder).is_ok() {
            return Err(Fault::usage(format!("template/{name} is there already")).hint("choose another name"));
        }
        let cant = || format!("can't make template/{name}");
        std::fs::create_dir_all(&above).or_fault(cant)?;
        // Removed with everything in it unless the end is reached.
        let temporary = tempfile::Builder::new().prefix(".faas-new-").tempdir_in(&above).or_fault(cant)?;
        let new = temporary.path().join("new");
        let handler = base.manifest.handler_folder();
        for file in base.with_shapes() {
            let is_handler = file.path.starts_with(handler);
            if self.extend && !is_handler {
                continue;
            }
            file.write_to(&new.join(&file.path))?;
        }
        let about = new.join("README.md");
        if let Ok(text) = std::fs::read_to_string(&about) {
            let title = format!("# {}\n", self.from);
            std::fs::write(&about, text.replacen(&title, &format!("# {name}\n"), 1)).or_fault(cant)?;
        }
        let manifest = new.join("template.yml");
        let text = match self.extend {
            true => format!(
                "language: {name}\n# Files and fields that are not here are those of the built-in template.\nextends: {}\n",
                self.from
            ),
            false => {
                let text = std::fs::read_to_string(&manifest).or_fault(cant)?;
                named(&text, name)
            }
        };
        std::fs::write(&manifest, text).or_fault(cant)?;
        std::fs::rename(&new, &folder).or_fault(cant)?;
        let made = serde_json::json!({ "name": name, "folder": format!("template/{name}"), "from": self.from });
        context.out.result(&made, || {
            format!(
                "Template made in folder: template/{name}\n\nNext:\n  faas template check template/{name}\n  faas new FUNCTION --lang \
                 {name}\n"
            )
        })
    }
}

/// The manifest with another language in it.
fn named(text: &str, name: &str) -> String {
    let line = |line: &str| match line.starts_with("language:") {
        true => format!("language: {name}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
