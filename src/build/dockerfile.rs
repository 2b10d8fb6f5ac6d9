//! A Dockerfile, as far as faas must read it: where its instructions stand, what it starts from, what it needs.
use std::collections::BTreeMap;

/// An instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its first line, from 1.
    pub line: usize,
    /// Its name in upper case: `RUN`.
    pub name: String,
    /// What follows, with the lines joined.
    pub rest: String,
    /// Whether it has a here-document.
    pub heredoc: bool,
}

impl Instruction {
    /// The options after the name: `--mount=type=cache,target=/x`.
    fn flags(&self) -> impl Iterator<Item = &str> {
        self.rest.split_whitespace().take_while(|word| word.starts_with("--"))
    }
}

/// The `# key=value` lines at the top.
fn directives(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines().map_while(|line| {
        let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
        let key = key.trim().to_lowercase();
        key.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| (key, value.trim()))
    })
}

/// The image of another frontend, from `# syntax=`.
#[must_use]
pub fn syntax(text: &str) -> Option<&str> {
    directives(text).find(|(key, _)| key == "syntax").map(|(_, value)| value)
}

/// All instructions in their order.
#[must_use]
pub fn instructions(text: &str) -> Vec<Instruction> {
    let escape = directives(text).find(|(key, _)| key == "escape").and_then(|(_, value)| value.chars().next());
    let escape = escape.unwrap_or('\\');
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut joined = line.trim_start().to_owned();
        if joined.is_empty() || joined.starts_with('#') {
            continue;
        }
        while let Some(kept) = joined.trim_end().strip_suffix(escape) {
            joined = kept.to_owned();
            // Comments and empty lines between the parts don't end them.
            let next = lines.find(|(_, next)| !next.trim().is_empty() && !next.trim_start().starts_with('#'));
            let Some((_, next)) = next else { break };
            joined += next;
        }
        let (name, rest) = joined.trim().split_once(char::is_whitespace).unwrap_or((joined.trim(), ""));
        let name = name.to_uppercase();
        let documents = if matches!(name.as_str(), "RUN" | "COPY" | "ADD") { heredocs(rest) } else { Vec::new() };
        for (word, tabs) in &documents {
            for (_, line) in lines.by_ref() {
                let line = if *tabs { line.trim_start_matches('\t') } else { line };
                if line == word {
                    break;
                }
            }
        }
        found.push(Instruction {
            line: number + 1,
            name,
            rest: rest.trim().to_owned(),
            heredoc: !documents.is_empty(),
        });
    }
    found
}

/// The words that end the here-documents of an instruction, and whether tabs before them are dropped.
fn heredocs(rest: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut quote = None;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], quote) {
            (b'\\', _) => at += 1,
            (b, Some(open)) if b == open => quote = None,
            (b @ (b'\'' | b'"'), None) => quote = Some(b),
            (b'<', None) if bytes.get(at + 1) == Some(&b'<') && bytes.get(at + 2) != Some(&b'<') => {
                let after = &rest[at + 2..];
                let (after, tabs) = after.strip_prefix('-').map_or((after, false), |after| (after, true));
                let word = match after.chars().next() {
                    Some(open @ ('"' | '\'')) => after[1..].split(open).next().unwrap_or_default(),
                    _ => after.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default(),
                };
                if !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()) {
                    found.push((word.to_owned(), tabs));
                }
                at += 1;
            }
            // `<<<` is a string of the shell's.
            (b'<', None) if bytes.get(at + 1) == Some(&b'<') => at += 2,
            _ => {}
        }
        at += 1;
    }
    found
}

/// The images that a Dockerfile starts from, with their ARGs filled in; stages of its own are left out.
#[must_use]
pub fn bases(text: &str, args: &BTreeMap<String, String>) -> Vec<String> {
    each_once(froms(text, args).into_iter().map(|(image, _)| image))
}

/// Those that have to be there for the platform that is built for: all but those whose `FROM` names one.
#[must_use]
pub fn bases_of_the_platform(text: &str, args: &BTreeMap<String, String>) -> Vec<String> {
    each_once(froms(text, args).into_iter().filter(|(_, named)| !named).map(|(image, _)| image))
}

fn each_once(images: impl Iterator<Item = String>) -> Vec<String> {
    images.fold(Vec::new(), |mut all, image| {
        if !all.contains(&image) {
            all.push(image);
        }
        all
    })
}

/// The images of all `FROM`s but `scratch` and stages, and whether each names its platform.
fn froms(text: &str, args: &BTreeMap<String, String>) -> Vec<(String, bool)> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<String> = Vec::new();
    let mut images = Vec::new();
    let mut started = false;
    for instruction in instructions(text) {
        let rest = &instruction.rest;
        if instruction.name == "ARG" && !started {
            for word in rest.split_whitespace() {
                let (name, default) = word.split_once('=').unwrap_or((word, ""));
                let value = args.get(name).map_or(default.trim_matches(['"', '\'']), String::as_str);
                let value = fill(value, &known);
                known.insert(name.to_owned(), value);
            }
        } else if instruction.name == "FROM" {
            started = true;
            let named = instruction.flags().any(|flag| flag.starts_with("--platform"));
            let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
            let image = fill(words.next().unwrap_or_default(), &known);
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case("AS")) {
                stages.extend(words.next().map(str::to_lowercase));
            }
            if !stages.contains(&image.to_lowercase()) && image != "scratch" {
                images.push((image, named));
            }
        }
    }
    images
}

/// The text with `$NAME`, `${NAME}` and `${NAME:-otherwise}` filled in.
fn fill(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled += before;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, otherwise) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, tail)) => {
                rest = tail;
                inner.split_once(":-").or_else(|| inner.split_once('-')).unwrap_or((inner, ""))
            }
            None => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                rest = &after[end..];
                (&after[..end], "")
            }
        };
        filled += known.get(name).map(String::as_str).filter(|value| !value.is_empty()).unwrap_or(otherwise);
    }
    filled + rest
}

/// Something in a Dockerfile that not every builder can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The line that it stands in, from 1.
    pub line: usize,
    /// What it is: `RUN --mount`.
    pub what: String,
    /// Whether it came with version 1.4 of Dockerfiles, which the BuildKit in engines before 23.0 does not know.
    pub late: bool,
}

/// What only BuildKit can do, in the order in which it stands there. `# syntax=docker/dockerfile` is not needed by
/// itself: the classic builder takes it for a comment.
#[must_use]
pub fn needs(text: &str) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(image) = syntax(text).filter(|image| !image.contains("docker/dockerfile")) {
        let at = text.lines().position(|line| line.contains(image)).unwrap_or(0);
        needs.push(Need { line: at + 1, what: format!("`# syntax={image}`"), late: false });
    }
    for instruction in instructions(text) {
        let name = &instruction.name;
        for flag in instruction.flags() {
            let flag = flag.split('=').next().unwrap_or(flag);
            let late = matches!(flag, "--link" | "--checksum" | "--keep-git-dir" | "--exclude" | "--parents");
            let classic = matches!((name.as_str(), flag), ("COPY" | "ADD", "--chown" | "--from"))
                || !matches!(name.as_str(), "RUN" | "COPY" | "ADD");
            if !classic {
                needs.push(Need { line: instruction.line, what: format!("`{name} {flag}`"), late });
            }
        }
        if instruction.heredoc {
            needs.push(Need { line: instruction.line, what: format!("a here-document in `{name}`"), late: true });
        }
    }
    needs
}

/// The instruction that the builder calls by the text `shown`: `RUN make`, or BuildKit's `[stage 2/5] RUN make`. When
/// none reads so, since arguments are filled in, it is the one of that number: the `nth` (from 1) of all for the classic
/// builder, the one in brackets for BuildKit.
#[must_use]
pub fn find<'i>(instructions: &'i [Instruction], shown: &str, nth: Option<usize>) -> Option<&'i Instruction> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (bracket, text) = match shown.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((bracket, text)) => (Some(bracket), text),
        None => (None, shown),
    };
    let text = words(text);
    let by_text = instructions.iter().find(|one| words(&format!("{} {}", one.name, one.rest)) == text);
    by_text.or_else(|| instructions.get(nth?.checked_sub(1)?)).or_else(|| {
        let (before, number) = bracket?.rsplit_once(' ').unwrap_or(("", bracket?));
        let number: usize = number.split('/').next()?.parse().ok()?;
        // A platform may stand before the stage's name.
        let stage = before.rsplit(' ').next().filter(|name| !name.contains('/')).unwrap_or_default();
        of_stage(instructions, stage)
            .filter(|one| matches!(one.name.as_str(), "FROM" | "RUN" | "COPY" | "ADD" | "WORKDIR"))
            .nth(number.checked_sub(1)?)
    })
}

/// The instructions of a stage, by its name or BuildKit's `stage-1`; of the last one when there is no name.
fn of_stage<'i>(instructions: &'i [Instruction], name: &str) -> impl Iterator<Item = &'i Instruction> {
    let starts: Vec<usize> =
        instructions.iter().enumerate().filter(|(_, one)| one.name == "FROM").map(|(at, _)| at).collect();
    let named = |at: &usize| {
        let mut words = instructions[*at].rest.split_whitespace().rev();
        let last = words.next().unwrap_or_default();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) && last.eq_ignore_ascii_case(name)
    };
    let number = name.strip_prefix("stage-").and_then(|number| number.parse::<usize>().ok());
    let which = starts.iter().position(named).or(number).unwrap_or(starts.len().saturating_sub(1));
    let from = starts.get(which).copied().unwrap_or(instructions.len());
    let until = starts.get(which + 1).copied().unwrap_or(instructions.len());
    instructions[from..until].iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_found_with_their_arguments() {
        let text = "ARG BASE=docker.io/library/python:3.13-slim\nFROM --platform=linux/amd64 ${BASE} AS one\nFROM alpine\nFROM one\nFROM scratch\n";
        assert_eq!(bases(text, &BTreeMap::new()), ["docker.io/library/python:3.13-slim", "alpine"]);
        let args = BTreeMap::from([("BASE".to_owned(), "local/python".to_owned())]);
        assert_eq!(bases(text, &args), ["local/python", "alpine"]);
        assert_eq!(bases_of_the_platform(text, &args), ["alpine"]);
        let text = "ARG TAG=3 BASE=python:$TAG\nFROM ${BASE}-slim\nFROM ${OTHER:-debian} \\\n  AS x\nFROM X";
        assert_eq!(bases(text, &BTreeMap::new()), ["python:3-slim", "debian"]);
    }

    #[test]
    fn instructions_span_lines_comments_and_documents() {
        let text = "# syntax=docker/dockerfile:1\n\nFROM x\nrun a \\\n  # why\n\n  && b\nRUN <<EOF cat\nFROM y\nEOF\nCOPY <<-'A' <<B /\n1\n\tA\n2\nB\nCMD [\"<<x\"]\n";
        let found: Vec<_> = instructions(text).iter().map(|i| (i.line, i.name.clone(), i.heredoc)).collect();
        let expected =
            [(3, "FROM", false), (4, "RUN", false), (8, "RUN", true), (11, "COPY", true), (16, "CMD", false)];
        assert_eq!(found, expected.map(|(line, name, heredoc)| (line, name.to_owned(), heredoc)));
        assert_eq!(instructions(text)[1].rest, "a   && b");
        assert_eq!(syntax(text), Some("docker/dockerfile:1"));
        let windows = "# escape=`\nFROM x\nRUN a `\n b\n";
        assert_eq!(instructions(windows).len(), 2);
    }

    #[test]
    fn what_only_buildkit_can_do_is_known() {
        let needs =
            |text: &str| needs(text).into_iter().map(|need| (need.line, need.what, need.late)).collect::<Vec<_>>();
        assert!(
            needs("# syntax=docker/dockerfile:1\nFROM --platform=x y\nCOPY --from=a --chown=1 x y\nRUN cat <<<x\n")
                .is_empty()
        );
        assert_eq!(needs("FROM x\nRUN --mount=type=cache,target=/c \\\n  a"), [(2, "`RUN --mount`".into(), false)]);
        assert_eq!(needs("FROM x\nCOPY --link a b"), [(2, "`COPY --link`".into(), true)]);
        assert_eq!(needs("FROM x\nRUN <<E\na\nE\n"), [(2, "a here-document in `RUN`".into(), true)]);
        assert_eq!(needs("#syntax = my/frontend\nFROM x"), [(1, "`# syntax=my/frontend`".into(), false)]);
    }

    #[test]
    fn steps_are_found_by_their_text_else_by_their_number() {
        let all = instructions("FROM x\nRUN a \\\n   b\nRUN c\n");
        assert_eq!(find(&all, "RUN a    b", None).unwrap().line, 2);
        assert_eq!(find(&all, "RUN other", Some(3)).unwrap().line, 4);
        assert!(find(&all, "RUN other", Some(9)).is_none());
        let all = instructions("ARG V\nFROM x AS build\nENV A=1\nCOPY $V /\nFROM y\nCOPY --from=build $V /\n");
        assert_eq!(find(&all, "[build 2/2] COPY v /", None).unwrap().line, 4);
        assert_eq!(find(&all, "[linux/amd64 stage-1 2/2] COPY --from=build v /", None).unwrap().line, 6);
        assert_eq!(find(&all, "[linux/amd64 2/2] COPY other", None).unwrap().line, 6);
        assert!(find(&all, "[internal] load build context", None).is_none());
    }
}
