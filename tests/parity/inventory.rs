//! Every command, alias and flag that faas-cli's own help names, recorded; and which of them ours has not.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What help says of a command.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
struct Known {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// Long flag → its short one, or nothing; and whether it takes a value.
    flags: BTreeMap<String, (String, bool)>,
}

/// Something of theirs that ours has not.
#[derive(Debug, PartialEq)]
pub struct Gap {
    pub command: String,
    /// The flag or alias; the command itself when empty.
    pub what: String,
}

/// Commands that help doesn't list.
const HIDDEN: [&[&str]; 3] = [&["namespaces"], &["bashcompletion"], &["print-token"]];

impl Gap {
    /// Whether it is known and being filled.
    pub fn is_open(&self) -> bool {
        let whole = format!("{} {}", self.command, self.what);
        expected().iter().any(|line| *line == self.command || *line == whole.trim())
    }
}

/// Commands whose gaps are being filled; none when all is there.
fn expected() -> Vec<&'static str> {
    include_str!("gaps.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/cases/inventory.json"))
}

/// Asks the real one's help for everything, and writes it down.
pub fn record(real: &Path) {
    let mut all = BTreeMap::new();
    let mut open: Vec<Vec<String>> = vec![vec![]];
    open.extend(HIDDEN.iter().map(|path| path.iter().map(|part| (*part).to_owned()).collect()));
    while let Some(path) = open.pop() {
        let output = Command::new(real).args(&path).arg("--help").output().expect("faas-cli");
        let (known, below) = read(&String::from_utf8_lossy(&output.stdout));
        for name in below.into_iter().filter(|name| name != "help") {
            open.push(path.iter().cloned().chain([name]).collect());
        }
        if !path.is_empty() {
            all.insert(path.join(" "), known);
        }
    }
    let text = serde_json::to_string_pretty(&all).expect("JSON") + "\n";
    std::fs::write(file(), text).expect("inventory.json");
}

fn read(help: &str) -> (Known, Vec<String>) {
    let flag = regex::Regex::new(r"^ +(?:-(\w), )?--([\w-]+)(?: (\w+))?  ").expect("regex");
    let (mut known, mut below, mut part) = (Known::default(), Vec::new(), "");
    for line in help.lines() {
        match line {
            "Available Commands:" | "Aliases:" | "Flags:" | "Global Flags:" => part = line,
            _ if !line.starts_with(' ') => part = "",
            _ if part == "Available Commands:" => below.extend(line.split_whitespace().next().map(str::to_owned)),
            _ if part == "Aliases:" => known.aliases = line.split(',').skip(1).map(|a| a.trim().to_owned()).collect(),
            _ if part.ends_with("Flags:") => {
                if let Some(found) = flag.captures(line) {
                    let short = found.get(1).map_or("", |m| m.as_str()).to_owned();
                    known.flags.insert(found[2].to_owned(), (short, found.get(3).is_some()));
                }
            }
            _ => {}
        }
    }
    (known, below)
}

/// Flags that no case can try: one asks the store on the internet, one never ends.
const UNTRIED: [(&str, &str); 2] = [("generate", "from-store"), ("local-run", "watch")];

/// Flags of theirs that stand in none of these command lines.
pub fn untried(lines: &[Vec<String>]) -> Vec<String> {
    let text = std::fs::read_to_string(file()).expect("inventory.json: `make parity` writes it");
    let all: BTreeMap<String, Known> = serde_json::from_str(&text).expect("inventory.json");
    let mut left: BTreeSet<(String, String)> = all
        .iter()
        .flat_map(|(name, known)| known.flags.keys().map(|flag| (name.clone(), flag.clone())))
        .filter(|(name, flag)| flag != "help" && !UNTRIED.contains(&(name.as_str(), flag.as_str())))
        .collect();
    for words in lines {
        let Some(name) = command_of(&all, words) else { continue };
        let flags = &all[&name].flags;
        for word in words {
            let tried: Vec<&String> = match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(long), _) => flags.keys().filter(|flag| long.split('=').next() == Some(flag)).collect(),
                // Several without values may stand together, and one with a value has that behind it.
                (None, Some(short)) => {
                    let is_it = |(nth, letter): (usize, char)| {
                        let of = flags.iter().find(|(_, (short, _))| short.starts_with(letter) && !short.is_empty());
                        of.filter(|(_, (_, takes_value))| nth == 0 || !takes_value).map(|(flag, _)| flag)
                    };
                    short.chars().enumerate().filter_map(is_it).collect()
                }
                _ => Vec::new(),
            };
            for flag in tried {
                left.remove(&(name.clone(), flag.clone()));
            }
        }
    }
    left.into_iter().map(|(name, flag)| format!("{name} --{flag}")).collect()
}

/// The command that a line is of: its first words, by name or alias.
fn command_of(all: &BTreeMap<String, Known>, words: &[String]) -> Option<String> {
    let mut name = String::new();
    for word in words.iter().take_while(|word| !word.starts_with('-')) {
        let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name} {part}") };
        let by_alias = || {
            let aliased = all.iter().find(|(of, known)| {
                let last = of.rsplit(' ').next().unwrap_or_default();
                **of == below(last) && known.aliases.contains(word)
            });
            aliased.map(|(of, _)| of.clone())
        };
        match Some(below(word)).filter(|one| all.contains_key(one)).or_else(by_alias) {
            Some(found) => name = found,
            None => break,
        }
    }
    all.contains_key(&name).then_some(name)
}

/// What ours has not.
pub fn compare() -> Vec<Gap> {
    let text = std::fs::read_to_string(file()).expect("inventory.json: `make parity` writes it");
    let all: BTreeMap<String, Known> = serde_json::from_str(&text).expect("inventory.json");
    assert!(all.len() > 40, "faas-cli has more than {} commands", all.len());
    let mut tree = faas::cli::compat::command();
    tree.build();
    let mut gaps = Vec::new();
    for (name, known) in &all {
        let gap = |what: String| Gap { command: name.clone(), what };
        let mut found = Some(&tree);
        // What is a command there is an argument here, read in the same place.
        let path = if name == "template pull stack" { "template pull" } else { name };
        for part in path.split(' ') {
            found = found.and_then(|command| command.find_subcommand(part));
        }
        let Some(found) = found else {
            gaps.push(gap(String::new()));
            continue;
        };
        let mut names: Vec<&str> = found.get_all_aliases().collect();
        names.push(found.get_name());
        gaps.extend(known.aliases.iter().filter(|a| !names.contains(&a.as_str())).map(|a| gap(a.clone())));
        for (long, (short, takes_value)) in &known.flags {
            let is_it = |arg: &&clap::Arg| {
                arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long.as_str()))
            };
            let Some(arg) = found.get_arguments().find(is_it) else {
                gaps.push(gap(format!("--{long}")));
                continue;
            };
            // A short flag may be another's here, as long as the command takes it.
            let shorts: Vec<char> = found
                .get_arguments()
                .flat_map(|arg| arg.get_short().into_iter().chain(arg.get_all_short_aliases().unwrap_or_default()))
                .collect();
            if !short.is_empty() && !shorts.contains(&short.chars().next().expect("a letter")) {
                gaps.push(gap(format!("-{short} for --{long}")));
            }
            let optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
            if *takes_value == optional && long != "help" {
                gaps.push(gap(format!("--{long} takes {} value", if *takes_value { "a" } else { "no" })));
            }
        }
    }
    gaps
}
