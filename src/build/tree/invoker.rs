//! The invoker in a context: the one for the image's platform, or one for each and a Dockerfile that takes the right one.
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::super::Project;
use super::super::watchdog::{Machine, NAME, is_script};
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::platform;
use crate::template::Manifest;
use crate::template::file::{Content, File, Stamp};

/// Where those for several platforms are in a context, each in a folder of its processor's name.
const FOR: &str = "faas-watchdog-for";

/// Whether a file of a context is an invoker.
pub fn is_one(path: &Path) -> bool {
    path == Path::new(NAME) || path.starts_with(FOR)
}

/// Whether the image takes our watchdog: the template says so, or the function's own Dockerfile names it.
///
/// # Errors
/// When the function has no Dockerfile.
pub fn is_wanted(manifest: Option<&Manifest>, function: &Function) -> Result<bool> {
    if let Some(manifest) = manifest {
        return Ok(manifest.watchdog);
    }
    match std::fs::read_to_string(function.build.handler.join("Dockerfile")) {
        Ok(text) => Ok(text.contains(NAME) && !function.build.handler.join(NAME).exists()),
        Err(error) => Err(Fault::usage(format!("{}: its handler folder has no Dockerfile", function.name))
            .cause(error)
            .hint("`lang: dockerfile` builds the Dockerfile in the handler folder; or choose another `lang`")),
    }
}

/// Adds the invoker to the files of a context. For several platforms there is one for each, and the Dockerfile among
/// `files` takes the one for the platform that it is built for.
///
/// # Errors
/// When there is none for a platform, or the Dockerfile takes it in a way that does not tell them apart.
pub fn add(files: &mut Vec<File>, function: &Function, project: &Project<'_>) -> Result<()> {
    let mut processors: Vec<&str> = function.build.platforms.iter().map(|name| platform::processor(name)).collect();
    processors.dedup();
    match processors[..] {
        [] => files.push(here(function, project)?),
        [processor] => files.push(file(NAME.into(), processor, function, project)?),
        _ => {
            for processor in processors {
                files.push(file(Path::new(FOR).join(processor).join(NAME), processor, function, project)?);
            }
            // The last one counts: a handler's lies over the template's.
            let dockerfile = files.iter_mut().rev().find(|file| file.path == Path::new("Dockerfile"));
            let Some(dockerfile) = dockerfile else { return Ok(()) };
            let bytes = dockerfile.content.read()?;
            let told = by_platform(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
                Fault::unsupported(format!("{}: its Dockerfile does not copy {NAME} by its name", function.name))
                    .cause("an image for several platforms has one for each")
                    .hint(format!("write `COPY {NAME} /usr/bin/{NAME}` in it, or build for one platform"))
            })?;
            dockerfile.content = Content::Bytes(Cow::Owned(told.into_bytes()));
            dockerfile.kept = None;
        }
    }
    Ok(())
}

/// The invoker of a project, for the platform of its engine.
fn here(function: &Function, project: &Project<'_>) -> Result<File> {
    let missing = || {
        Fault::failed(format!("{}: its image needs the program {NAME}, which is not there", function.name))
            .hint(format!("put {NAME} beside the faas program, or name it in FAAS_WATCHDOG"))
    };
    kept("", NAME.into(), project, || match &project.watchdog {
        Some(path) => Ok(path.clone()),
        None => Machine::HERE.watchdog(project)?.ok_or_else(missing),
    })
}

/// The invoker for a processor, as the file `path`.
fn file(path: PathBuf, processor: &str, function: &Function, project: &Project<'_>) -> Result<File> {
    let missing = || {
        let fault = Fault::failed(format!(
            "{}: its image needs the program {NAME} for {processor}, which is not there",
            function.name
        ));
        let hint = format!("put {NAME}-{processor} beside the faas program, or leave that platform out");
        match &project.watchdog {
            Some(own) => fault.cause(format!("{} runs on another processor", own.display())).hint(hint),
            None => fault.hint(hint),
        }
    };
    kept(processor, path, project, || {
        // A script runs on every processor.
        if let Some(own) = project.watchdog.as_ref().filter(|path| is_script(path)) {
            return Ok(own.clone());
        }
        match Machine::of(processor) {
            Some(machine) => machine.watchdog(project)?.ok_or_else(missing),
            None => Err(missing()),
        }
    })
}

/// A file that many functions take, found once.
fn kept(key: &str, path: PathBuf, project: &Project<'_>, find: impl FnOnce() -> Result<PathBuf>) -> Result<File> {
    let mut known = project.invokers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = known.get(key) {
        return Ok(File { path, ..file.clone() });
    }
    let found = find()?;
    let metadata = std::fs::metadata(&found).or_fault(|| format!("can't read {}", found.display()))?;
    let content = Content::Disk(found, Stamp::of(&metadata));
    let file = File { path, mode: 0o755, content, kept: None }.keeping();
    known.insert(key.to_owned(), file.clone());
    Ok(file)
}

/// The Dockerfile with every `COPY faas-watchdog …` changed so that it takes the one for the platform that is built for,
/// under the same name; `None` when there is no such line. `TARGETARCH` is an argument of BuildKit's, given to all that
/// declare it.
fn by_platform(text: &str) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut found = false;
    // From the end: what is put in moves the lines below it.
    for instruction in super::super::dockerfile::instructions(text).iter().rev() {
        let plain = matches!(instruction.name.as_str(), "COPY" | "ADD") && !instruction.rest.contains("--from=");
        let from = instruction.line - 1;
        let place = lines[from..].iter().position(|line| word(line).is_some()).map(|at| from + at);
        let names = word(&instruction.rest).is_some_and(|(at, length)| at + length < instruction.rest.len());
        if let Some(place) = place.filter(|_| plain && names)
            && let Some((at, length)) = word(&lines[place])
        {
            lines[place].replace_range(at..at + length, &format!("{FOR}/${{TARGETARCH}}/{NAME}"));
            lines.insert(from, "ARG TARGETARCH".into());
            found = true;
        }
    }
    found.then(|| lines.join("\n") + "\n")
}

/// Where the invoker's name stands in a line as a word of its own, `./` included.
fn word(line: &str) -> Option<(usize, usize)> {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | ',' | '['));
    line.match_indices(NAME).find_map(|(at, name)| {
        let start = if line[..at].ends_with("./") { at - 2 } else { at };
        let fits = ends(line[..start].chars().next_back()) && ends(line[at + name.len()..].chars().next());
        fits.then_some((start, at + name.len() - start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_copy_the_invoker_take_the_one_for_the_platform() {
        let taken = "faas-watchdog-for/${TARGETARCH}/faas-watchdog";
        for (line, told) in [
            ("COPY faas-watchdog /usr/bin/faas-watchdog", format!("COPY {taken} /usr/bin/faas-watchdog")),
            ("COPY --chmod=755 ./faas-watchdog a /usr/bin/", format!("COPY --chmod=755 {taken} a /usr/bin/")),
            ("copy [\"faas-watchdog\", \"/x\"]", format!("copy [\"{taken}\", \"/x\"]")),
            ("COPY faas-watchdog faas-watchdog", format!("COPY {taken} faas-watchdog")),
            ("COPY \\\n  faas-watchdog \\\n  /x", format!("COPY \\\n  {taken} \\\n  /x")),
        ] {
            let expected = format!("FROM x\nARG TARGETARCH\n{told}\nCMD [\"faas-watchdog\"]\n");
            assert_eq!(by_platform(&format!("FROM x\n{line}\nCMD [\"faas-watchdog\"]\n")), Some(expected), "{line}");
        }
        for line in ["COPY . /x", "COPY --from=x faas-watchdog /x", "COPY a /faas-watchdog", "COPY a faas-watchdog"] {
            assert_eq!(by_platform(&format!("FROM x\n{line}\nCMD [\"faas-watchdog\"]\n")), None, "{line}");
        }
    }
}
