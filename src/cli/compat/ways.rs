//! The small choices in which faas-cli's way is another than ours, each by its name: commands ask here, and know no
//! dialect.
use crate::backend::Existing;
use crate::output::Dialect;

fn theirs(dialect: Dialect) -> bool {
    dialect == Dialect::FaasCli
}

/// What the program is called.
#[must_use]
pub fn program(dialect: Dialect) -> &'static str {
    if theirs(dialect) { "faas-cli" } else { "faas" }
}

/// The stack file that a first function is written to.
#[must_use]
pub fn new_stack_file(dialect: Dialect) -> &'static str {
    if theirs(dialect) { "stack.yaml" } else { "stack.yml" }
}

/// The platform of a new stack file, where nobody is asked.
#[must_use]
pub fn new_provider(dialect: Dialect) -> Option<String> {
    theirs(dialect).then(|| "openfaas".to_owned())
}

/// Whether `version` also says what the gateway is.
#[must_use]
pub fn version_of_gateway(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// Whether every byte of a secret's file is its value: what faas-cli sends of a file as bytes, which providers prefer,
/// is never trimmed.
#[must_use]
pub fn keeps_bytes_of_files(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// What `secret create` does with one that is there: faas-cli doesn't ask, so that who may not list secrets can.
#[must_use]
pub fn existing_secret(dialect: Dialect) -> Existing {
    if theirs(dialect) { Existing::Overwrite } else { Existing::Replace }
}

/// Whether files whose names can't be those of secrets are passed over by `secret apply`.
#[must_use]
pub fn passes_over_no_secrets(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// Whether commands that need nothing of the stack file go on when the one in this folder is wrong: faas-cli doesn't open
/// it for them.
pub fn goes_on_without_stack(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// Whether what is unchanged is deployed all the same: faas-cli's users deploy again to have an image pulled again.
#[must_use]
pub fn deploys_unchanged(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// Whether the gateway is told the process that a template of the project names.
#[must_use]
pub fn tells_process_of_template(dialect: Dialect) -> bool {
    theirs(dialect)
}

/// A handler's folder as a stack file names it.
#[must_use]
pub fn handler(dialect: Dialect, given: &str) -> String {
    if theirs(dialect) && !given.starts_with(['.', '/']) { format!("./{given}") } else { given.to_owned() }
}

/// What a new project keeps out of git.
#[must_use]
pub fn ignored(dialect: Dialect) -> &'static [&'static str] {
    if theirs(dialect) { &["template", "build", ".secrets"] } else { &["build", ".secrets"] }
}

/// Whether `--filter` and `--regex` choose among what is deployed: faas-cli's list reads them for the stack file alone.
#[must_use]
pub fn chooses_listed(dialect: Dialect) -> bool {
    !theirs(dialect)
}

/// Whether a store's titles are shown whole where no flag says.
#[must_use]
pub fn whole_titles(dialect: Dialect) -> bool {
    !theirs(dialect)
}

/// The columns of a list of templates. faas-cli has the names of two of them the wrong way round; scripts that cut columns
/// by their names know it so.
#[must_use]
pub fn template_columns(dialect: Dialect) -> &'static [&'static str] {
    match theirs(dialect) {
        true => &["NAME", "RECOMMENDED", "DESCRIPTION", "SOURCE"],
        false => &["NAME", "RECOMMENDED", "SOURCE", "DESCRIPTION"],
    }
}
