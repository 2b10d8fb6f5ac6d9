//! The real faas-cli and ours under its name, side by side: cases as data, what the real one did as recordings.
//! `tests/parity/README.md` says how to add one.

mod bugs;
mod case;
mod compare;
mod faults;
mod inventory;
#[cfg(feature = "image")]
mod live;
mod report;
mod run;

use std::path::PathBuf;

use case::CaseFile;
use compare::Verdict;
use run::Program;

/// What came of one case.
pub struct Judged {
    pub command: String,
    pub case: String,
    pub verdict: Verdict,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/cases"))
}

/// Whether recordings and the table are to be written: `make parity`.
fn refreshes() -> bool {
    std::env::var_os("FAAS_PARITY_REFRESH").is_some()
}

/// Runs `work` on every case of a file, several at a time; the results in the order of the cases.
fn each<T: Send>(file: &CaseFile, work: impl Fn(&case::Case) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let mut results = Vec::new();
        for some in file.cases.chunks(4) {
            let running: Vec<_> = some.iter().map(|case| scope.spawn(|| work(case))).collect();
            results.extend(running.into_iter().map(|one| one.join().expect("the case runs")));
        }
        results
    })
}

/// Whether both runs come to the same, in whatever order.
fn same(case: &case::Case, then: &run::Run, now: &run::Run) -> bool {
    compare::differences(case, &run::in_order(then), &run::in_order(now)).is_empty()
}

/// Ours against what was recorded of the real one. With `make parity` what is recorded is recorded anew first.
#[test]
fn ours_does_what_faas_cli_did() {
    let real = run::real();
    if refreshes() {
        let real = real.expect("`make parity` needs the real faas-cli: in the test cache, or named by FAAS_CLI");
        for file in case::files(&folder()) {
            let mut recorded = run::read_recordings(&file.recordings());
            let runs = each(&file, |case| run::run(case, &Program::Real(real.clone())));
            let named = file.cases.iter().zip(runs).map(|(case, run)| {
                // What says the same in another order, or at another time, stays as it was.
                let then = recorded.remove(&case.name).filter(|then| same(case, then, &run));
                (case.name.clone(), then.unwrap_or(run))
            });
            run::write_recordings(&file.recordings(), &named.collect());
        }
        inventory::record(&real);
    }
    let mut judged = Vec::new();
    for file in case::files(&folder()) {
        let recorded = run::read_recordings(&file.recordings());
        let ours = each(&file, |case| run::run(case, &Program::Ours));
        for (case, ours) in file.cases.iter().zip(ours) {
            let verdict = match recorded.get(&case.name) {
                Some(theirs) => compare::judge(case, theirs, &ours),
                None => Verdict::Differs("it was never recorded: `make parity` does so".into()),
            };
            judged.push(Judged { command: file.command.clone(), case: case.name.clone(), verdict });
        }
    }
    let flags = inventory::compare();
    let text = report::table(&judged, &flags);
    let page = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md"));
    if refreshes() {
        std::fs::write(&page, &text).expect("docs/compatibility.md");
    }
    let differ: Vec<String> = judged
        .iter()
        .filter_map(|one| match &one.verdict {
            Verdict::Differs(why) => Some(format!("{}: {}\n{why}\n", one.command, one.case)),
            _ => None,
        })
        .collect();
    assert!(differ.is_empty(), "{} of {} cases differ:\n\n{}", differ.len(), judged.len(), differ.join("\n"));
    assert!(judged.len() > 50, "only {} cases were run", judged.len());
}

/// The recordings are still what the real one does.
#[test]
fn faas_cli_does_what_was_recorded() {
    let Some(real) = run::real() else { return eprintln!("skipped: no real faas-cli; FAAS_CLI names one") };
    for file in case::files(&folder()) {
        let recorded = run::read_recordings(&file.recordings());
        let now = each(&file, |case| run::run(case, &Program::Real(real.clone())));
        for (case, now) in file.cases.iter().zip(now) {
            let then = &recorded[&case.name];
            if same(case, then, &now) {
                continue;
            }
            let why = compare::differences(case, then, &now).join("\n");
            assert!(why.is_empty(), "{}: {} was recorded otherwise: `make parity`\n{why}", file.command, case.name);
        }
    }
}

/// Every command, alias and flag that faas-cli's help shows is one of ours.
#[test]
fn every_flag_of_faas_cli_is_known() {
    let gaps = inventory::compare();
    let missing: Vec<_> = gaps.iter().filter(|gap| !gap.is_open()).collect();
    assert!(missing.is_empty(), "not there: {missing:#?}");
}

/// Every flag of every command stands in a case, so that it was tried on both and not only found in help.
#[test]
fn every_flag_of_faas_cli_is_in_a_case() {
    let lines = case::files(&folder()).into_iter().flat_map(|file| file.cases).flat_map(|case| case.run);
    let lines: Vec<Vec<String>> = lines.map(|line| shell_words::split(&line).expect("a command line")).collect();
    let untried = inventory::untried(&lines);
    assert!(untried.is_empty(), "in no case: {untried:#?}");
}
