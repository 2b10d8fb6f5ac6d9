//! Which functions of a stack a command is about: `--filter`, where only `*` is special, and `--regex`.
use regex::Regex;

use super::overlay;
use crate::error::{Fault, Result};
use crate::function::Function;

/// What names must match; `None` where any will do.
///
/// # Errors
/// A usage fault when both are given, or the expression is none.
pub fn pattern(filter: Option<&str>, regex: Option<&str>) -> Result<Option<Regex>> {
    let (filter, regex) = (filter.filter(|f| !f.is_empty()), regex.filter(|r| !r.is_empty()));
    let pattern = match (filter, regex) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Fault::usage("pass in a regex or a filter, not both").hint("take `--filter` or `--regex` away"));
        }
        (Some(filter), None) => {
            let parts: Vec<String> = filter.split('*').map(regex::escape).collect();
            Regex::new(&format!("(?s)^{}$", parts.join(".*")))
        }
        (None, Some(regex)) => Regex::new(regex),
    };
    pattern.map(Some).map_err(|error| {
        // The last line is what is wrong; the ones before it draw the expression.
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Fault::usage(format!("`{}` is no regular expression", regex.or(filter).unwrap_or_default())).cause(why)
    })
}

/// Keeps the functions that are asked for; the order stays.
pub fn select(functions: &mut Vec<Function>, filter: Option<&str>, regex: Option<&str>) -> Result<()> {
    let Some(pattern) = pattern(filter, regex)? else { return Ok(()) };
    let names: Vec<String> = functions.iter().map(|f| f.name.clone()).collect();
    functions.retain(|f| pattern.is_match(&f.name));
    if functions.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let fault = Fault::not_found("no functions matching --filter/--regex were found in the YAML file");
        let asked = filter.filter(|f| !f.is_empty()).or(regex).unwrap_or_default();
        return Err(match overlay::hint(asked, &names) {
            Some(hint) => fault.hint(hint),
            None => fault.hint("there are no functions in it"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn chosen(filter: Option<&str>, regex: Option<&str>) -> Result<String> {
        let named = |name: &str| Function { name: name.into(), ..Function::default() };
        let mut functions: Vec<Function> = ["tax", "tax-eu", "post", "a.b"].map(named).into();
        select(&mut functions, filter, regex)?;
        Ok(functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn only_the_star_is_special_in_a_filter() {
        for (filter, names) in [
            ("tax", "tax"),
            ("tax*", "tax tax-eu"),
            ("*a*", "tax tax-eu a.b"),
            ("a.b", "a.b"),
            ("*", "tax tax-eu post a.b"),
            ("", "tax tax-eu post a.b"),
        ] {
            assert_eq!(chosen(Some(filter), None).expect(filter), names, "{filter}");
        }
        for filter in ["ax", "a?b", "TAX", "t.x", "[a-z]*"] {
            assert_eq!(chosen(Some(filter), None).expect_err(filter).kind, Kind::NotFound, "{filter}");
        }
    }

    #[test]
    fn a_regex_is_not_anchored() {
        assert_eq!(chosen(None, Some("ax")).expect("ax"), "tax tax-eu");
        assert_eq!(chosen(None, Some("^(post|tax)$")).expect("both"), "tax post");
        assert_eq!(chosen(None, Some("(")).expect_err("(").kind, Kind::Usage);
    }

    #[test]
    fn both_at_once_is_refused_and_no_match_names_the_functions() {
        assert_eq!(chosen(Some("a"), Some("b")).expect_err("both").kind, Kind::Usage);
        let fault = chosen(Some("postt"), None).expect_err("none");
        assert_eq!(fault.hint.as_deref(), Some("did you mean `post`?"));
        let fault = chosen(None, Some("zzzzzz")).expect_err("none");
        assert_eq!(fault.hint.as_deref(), Some("there is: tax, tax-eu, post, a.b"));
    }
}
