//! `${VARIABLES}` in the whole text of a stack file, comments included, as faas-cli's drone/envsubst v1 has them;
//! `${V-d}`, `${V:?text}`, `${V?text}`, `${V:+d}` and `${V+d}` as POSIX has them, where drone/envsubst is wrong.
use std::borrow::Cow;

use super::forms::{first, replace, substring, trim};
use super::source::Span;

/// Something that stands otherwise after substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte after substitution.
    pub start: usize,
    /// The byte after its last, after substitution.
    pub end: usize,
    /// Its first byte in the original.
    pub from: usize,
    /// The byte after its last, in the original.
    pub to: usize,
    /// The variable; empty for an escape as `$$`.
    pub variable: String,
}

/// Something wrong with a `${…}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands in the original.
    pub at: Span,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Where values come from: `None` is unset.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expressions in expressions, at most.
const DEPTH: usize = 50;

/// Mistakes told at most.
const MOST: usize = 50;

/// The text with every `${…}` replaced, and what was replaced where; or everything wrong with it.
pub fn substitute<'t>(text: &'t str, lookup: Lookup) -> Result<(Cow<'t, str>, Vec<Piece>), Vec<Mistake>> {
    if !text.contains(['$', '\\']) {
        return Ok((Cow::Borrowed(text), Vec::new()));
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let (mut pieces, mut mistakes) = (Vec::new(), Vec::new());
    let (mut done, mut line) = (0, 0);
    while let Some(found) = text[done..].find(['$', '\\']) {
        let at = done + found;
        out += &text[done..at];
        line = text[done..at].rfind('\n').map_or(line, |i| done + i + 1);
        let rest = &text[at..];
        let start = out.len();
        let (taken, variable) = if rest.starts_with("${") {
            let mut scanner = Scanner { text, at: at + 2, lookup };
            match scanner.expression(at, true, 0) {
                Ok((name, value)) => {
                    out += &value;
                    (scanner.at - at, name)
                }
                Err(mistake) => {
                    done = at + 2;
                    // A line that is a comment from its start: there a broken expression harms nobody.
                    if !text[line..at].trim_start().starts_with('#') {
                        // What is around a mistake is no second one.
                        done = done.max(mistake.at.end);
                        mistakes.push(mistake);
                        if mistakes.len() >= MOST {
                            return Err(mistakes);
                        }
                    }
                    out += &text[at..done];
                    continue;
                }
            }
        } else if let Some(one) = ["$$", "\\\\", "\\/"].iter().find(|e| rest.starts_with(**e)) {
            out += &one[1..];
            (2, String::new())
        } else {
            out += &rest[..1];
            done = at + 1;
            continue;
        };
        pieces.push(Piece { start, end: out.len(), from: at, to: at + taken, variable });
        done = at + taken;
    }
    out += &text[done..];
    if mistakes.is_empty() { Ok((Cow::Owned(out), pieces)) } else { Err(mistakes) }
}

struct Scanner<'t, 'l> {
    text: &'t str,
    at: usize,
    lookup: Lookup<'l>,
}

impl Scanner<'_, '_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, what: &str) -> bool {
        let there = self.rest().starts_with(what);
        if there {
            self.at += what.len();
        }
        there
    }

    fn mistake(&self, open: usize, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        let end = self.at.max(open + 2);
        let end = self.text[open..end].find('\n').map_or(end, |i| open + i);
        Mistake { at: Span { start: open, end }, message: message.into(), hint: hint.into() }
    }

    fn unclosed(&self, open: usize, name: &str) -> Mistake {
        let hint = "close it with `}`, or write `$${` for a plain `${`";
        self.mistake(open, format!("the expression `${{{name}` isn't one, or its `}}` is missing"), hint)
    }

    /// What follows `${`, the closing brace included: the variable's name and the value. With `live` unset nobody
    /// wants the value, so nothing can be missing.
    fn expression(&mut self, open: usize, live: bool, depth: usize) -> Result<(String, String), Mistake> {
        if depth > DEPTH {
            return Err(self.mistake(open, "too many expressions in one another", "take some away"));
        }
        let length = self.eat("#");
        let end = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let name = self.rest()[..end].to_owned();
        self.at += end;
        if name.is_empty() {
            let hint = "put a name right after `${`, or write `$${` for a plain `${`";
            return Err(self.mistake(open, "no variable is named after `${`", hint));
        }
        let set = (self.lookup)(&name);
        let value = set.clone().unwrap_or_default();
        let filled = !value.is_empty();
        let result = if length {
            value.chars().count().to_string()
        } else if self.rest().starts_with('}') {
            value
        } else if self.eat(":-") || self.eat(":=") || self.eat("=") {
            let default = self.word("}", false, live && !filled, depth)?;
            if filled { value } else { default }
        } else if self.eat("-") {
            let default = self.word("}", false, live && set.is_none(), depth)?;
            if set.is_some() { value } else { default }
        } else if self.eat(":+") {
            let other = self.word("}", false, live && filled, depth)?;
            if filled { other } else { String::new() }
        } else if self.eat("+") {
            let other = self.word("}", false, live && set.is_some(), depth)?;
            if set.is_some() { other } else { String::new() }
        } else if self.eat(":?") || self.eat("?") {
            let must_fill = self.text[..self.at].ends_with(":?");
            let lacks = live && if must_fill { !filled } else { set.is_none() };
            let words = self.word("}", false, lacks, depth)?;
            if lacks {
                self.eat("}");
                let state = if set.is_some() { "empty" } else { "not set" };
                let why = if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) };
                return Err(self.mistake(
                    open,
                    format!("the variable `{name}` is {state}{why}"),
                    format!("set `{name}` in the environment"),
                ));
            }
            value
        } else if self.eat(":") {
            let from = self.word(":}", false, live, depth)?;
            let count = if self.eat(":") { Some(self.word("}", false, live, depth)?) } else { None };
            substring(&value, &from, count.as_deref())
        } else if self.eat(",,") {
            value.to_lowercase()
        } else if self.eat("^^") {
            value.to_uppercase()
        } else if self.eat(",") {
            first(&value, |c| c.to_lowercase().collect())
        } else if self.eat("^") {
            first(&value, |c| c.to_uppercase().collect())
        } else if self.eat("/") {
            let how = ["/", "#", "%"].into_iter().find(|how| self.eat(how)).unwrap_or_default();
            let what = self.word("/}", true, live, depth)?;
            let with = if self.eat("/") { self.word("}", true, live, depth)? } else { String::new() };
            replace(&value, how, &what, &with)
        } else if let Some(how) = ["##", "#", "%%", "%"].into_iter().find(|how| self.eat(how)) {
            let pattern = self.word("}", false, live, depth)?;
            trim(value, how, &pattern)
        } else {
            return Err(self.unclosed(open, &name));
        };
        if !self.eat("}") {
            return Err(self.unclosed(open, &name));
        }
        Ok((name, result))
    }

    /// Text up to one of `stops`, expressions in it replaced; the stop itself is left.
    fn word(&mut self, stops: &str, escapes: bool, live: bool, depth: usize) -> Result<String, Mistake> {
        let mut word = String::new();
        loop {
            if self.rest().starts_with("${") {
                let open = self.at;
                self.at += 2;
                word += &self.expression(open, live, depth + 1)?.1;
            } else if escapes && ["\\/", "\\\\", "$$"].iter().any(|e| self.rest().starts_with(e)) {
                word += &self.rest()[1..2];
                self.at += 2;
            } else {
                match self.rest().chars().next() {
                    Some(c) if !stops.contains(c) => {
                        word.push(c);
                        self.at += c.len_utf8();
                    }
                    _ => return Ok(word),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "V" => "value",
            "P" => "/usr/local/lib.tar.gz",
            "U" => "UPPER Case",
            "E" => "",
            "D" => "deep",
            "A" => "aXbXa",
            "L" => "één",
            _ => return None,
        };
        Some(value.into())
    }

    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            match substitute(text, &lookup) {
                Ok((got, _)) => assert_eq!(got, *expected, "{text}"),
                Err(mistakes) => panic!("{text}: {mistakes:?}"),
            }
        }
    }

    #[track_caller]
    fn fails(text: &str, message: &str) {
        let mistakes = substitute(text, &lookup).expect_err(text);
        assert!(mistakes[0].message.contains(message), "{text}: {mistakes:?}");
    }

    #[test]
    fn plain_values() {
        check(&[("${V}", "value"), ("${NO}", ""), ("${E}", ""), ("a${V}b${V}c", "avaluebvaluec"), ("${1}", "")]);
    }

    #[test]
    fn defaults_when_unset_or_empty() {
        check(&[
            ("${V:-d}", "value"),
            ("${NO:-d}", "d"),
            ("${E:-d}", "d"),
            ("${NO:=d}", "d"),
            ("${E:=d}", "d"),
            ("${NO=d}", "d"),
            ("${E=d}", "d"),
            ("${V=d}", "value"),
            ("${NO:-}", ""),
            ("${NO:-a b: c}", "a b: c"),
        ]);
    }

    #[test]
    fn posix_forms_that_faas_cli_gets_wrong() {
        check(&[
            ("${V-d}", "value"),
            ("${NO-d}", "d"),
            ("${E-d}", ""),
            ("${V:+d}", "d"),
            ("${E:+d}", ""),
            ("${NO:+d}", ""),
            ("${V+d}", "d"),
            ("${E+d}", "d"),
            ("${NO+d}", ""),
            ("${V:?gone}", "value"),
            ("${V?gone}", "value"),
            ("${E?gone}", ""),
        ]);
        fails("${NO:?ask ops}", "`NO` is not set: ask ops");
        fails("${E:?}", "`E` is empty");
        fails("${NO?x}", "`NO` is not set: x");
        fails("${NO:-${ALSO:?both are gone}}", "`ALSO` is not set: both are gone");
    }

    #[test]
    fn a_default_that_is_not_taken_demands_nothing() {
        check(&[("${V:-${NO:?gone}}", "value"), ("${NO:+${NO:?gone}}", "")]);
    }

    #[test]
    fn nested_defaults() {
        check(&[("${NO:-${D}}", "deep"), ("${NO:-pre-${D}-post}", "pre-deep-post"), ("${NO:-${E:-${D}}}", "deep")]);
    }

    #[test]
    fn left_alone() {
        check(&[("$V", "$V"), ("$(cmd)", "$(cmd)"), ("a $ b", "a $ b"), ("$", "$"), ("50%", "50%")]);
    }

    #[test]
    fn escapes() {
        check(&[
            ("$$", "$"),
            ("$${V}", "${V}"),
            ("$$$${V}", "$${V}"),
            ("\\\\", "\\"),
            ("\\/", "/"),
            ("a\\nb", "a\\nb"),
            ("${A/X/\\/}", "a/bXa"),
        ]);
    }

    #[test]
    fn case_and_length() {
        check(&[
            ("${U,}", "uPPER Case"),
            ("${U,,}", "upper case"),
            ("${V^}", "Value"),
            ("${V^^}", "VALUE"),
            ("${#V}", "5"),
            ("${#NO}", "0"),
            ("${#L}", "3"),
        ]);
    }

    #[test]
    fn substrings() {
        check(&[
            ("${V:2}", "lue"),
            ("${V:0:3}", "val"),
            ("${V:1:99}", "alue"),
            ("${V:99}", ""),
            ("${V:99:2}", ""),
            ("${V: -3}", "value"),
            ("${V:0:-1}", "valu"),
            ("${V:x}", "value"),
            ("${L:1:1}", "é"),
        ]);
    }

    #[test]
    fn replacements() {
        check(&[
            ("${A/X/-}", "a-bXa"),
            ("${A//X/-}", "a-b-a"),
            ("${A/#a/-}", "-XbXa"),
            ("${A/%a/-}", "aXbX-"),
            ("${A//X/}", "aba"),
            ("${A//X}", "aba"),
            ("${A/no/-}", "aXbXa"),
            ("${A//X/${D}}", "adeepbdeepa"),
        ]);
    }

    #[test]
    fn trims() {
        check(&[
            ("${P#*/}", "usr/local/lib.tar.gz"),
            ("${P##*/}", "lib.tar.gz"),
            ("${P%.*}", "/usr/local/lib.tar"),
            ("${P%%.*}", "/usr/local/lib"),
            ("${V#v?l}", "ue"),
            ("${V%[a-e]}", "valu"),
            ("${V#[!v]}", "value"),
            ("${V#none}", "value"),
        ]);
    }

    #[test]
    fn broken_expressions() {
        fails("a: ${}", "no variable is named");
        fails("a: ${ V }", "no variable is named");
        fails("a: ${V", "`}` is missing");
        fails("a: ${V:-x", "`}` is missing");
        fails("a: ${V!x}", "`}` is missing");
        fails(&"${V:-".repeat(20), "`}` is missing");
        fails(&"${V:-".repeat(100_000), "too many expressions");
        fails(&format!("{}{}", "${NO:-".repeat(100), "}".repeat(100)), "too many expressions");
    }

    #[test]
    fn all_mistakes_in_one_go_but_none_in_comment_lines() {
        let mistakes = substitute("# ${} ${NO:?x}\na: ${}\nb: ${NO:?x}\n", &lookup).expect_err("mistakes");
        assert_eq!(mistakes.iter().map(|m| m.at.start).collect::<Vec<_>>(), [18, 25]);
    }

    #[test]
    fn pieces_lead_back() {
        let (text, pieces) = substitute("a: ${V}\nb: $$x ${E}\n", &lookup).expect("text");
        assert_eq!(text, "a: value\nb: $x \n");
        let all: Vec<_> = pieces.iter().map(|p| (p.start, p.end, p.from, p.to, p.variable.as_str())).collect();
        assert_eq!(all, [(3, 8, 3, 7, "V"), (12, 13, 11, 13, ""), (15, 15, 15, 19, "E")]);
    }
}
