//! Files of a handler that end in `.tera`: rendered with the function's name and language when it is made.
use std::path::Path;

use crate::error::{Fault, Result};

/// The text of the file `path` for the function `name`.
pub fn render(path: &Path, content: &[u8], name: &str, lang: &str) -> Result<String> {
    let shown = path.display();
    let text = std::str::from_utf8(content)
        .map_err(|error| Fault::usage(format!("the template file {shown} is no text")).cause(error))?;
    let mut context = tera::Context::new();
    context.insert("name", name);
    context.insert("lang", lang);
    // The result is a source file, not a web page.
    tera::Tera::one_off(text, &context, false)
        .map_err(|error| Fault::usage(format!("the template file {shown} can't be rendered")).cause(error))
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn name_and_language_are_known_and_nothing_else() {
        let text = render("a.md.tera".as_ref(), b"# {{ name }} in {{ lang }} <&>", "tax", "python3").unwrap();
        assert_eq!(text, "# tax in python3 <&>");
        let fault = render("a.md.tera".as_ref(), b"{{ nme }}", "tax", "python3").unwrap_err();
        assert!(fault.to_string().contains("a.md.tera"), "{fault}");
    }
}
