//! Files that hold passwords: none but their owner may read them.
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Checked, Patient};
use crate::credential::Logins;
use crate::error::OrFault;
use crate::finding::Finding;

/// Looks at the modes of all that are there.
pub fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let context = patient.context;
    let (dirs, env) = (&context.dirs, &context.env);
    let home = &dirs.home;
    let named = |variable: &str, usual: &str| env.get(variable).map_or_else(|| home.join(usual), PathBuf::from);
    let local = dirs.local();
    let mut paths = vec![
        Logins::new(env, &context.cwd, dirs).file(),
        local.clone(),
        local.join("token"),
        local.join("secrets"),
        env.get("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from).join("config.json"),
        patient.project.root.join("credentials/config.json"),
        named("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ];
    match env.get("KUBECONFIG") {
        Some(list) => paths.extend(std::env::split_paths(list)),
        None => paths.push(home.join(".kube/config")),
    }
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    let open: Vec<Checked> = there.iter().filter_map(|path| look(path)).collect();
    match (there.len(), open.is_empty()) {
        (0, _) => Vec::new(),
        (n, true) => {
            let what = if n == 1 {
                "the one file of credentials is".into()
            } else {
                format!("all {n} files of credentials are")
            };
            vec![Finding::ok("credentials", format!("{what} for their owner alone")).into()]
        }
        _ => open,
    }
}

/// What is wrong with one; `None` when nothing is.
fn look(path: &Path) -> Option<Checked> {
    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if mode & 0o077 == 0 {
        return None;
    }
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    let shown = path.display().to_string();
    let finding = Finding::warning("credentials", format!("others can read {shown} (mode {mode:03o})"))
        .hint(format!("chmod {wanted:o} {shown}"));
    if !own {
        return Some(finding.into());
    }
    let path = path.to_owned();
    let fix = move || {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wanted))
            .or_fault(|| format!("can't change the mode of {}", path.display()))?;
        Ok(format!("set its mode to {wanted:o}"))
    };
    Some(Checked::mended_by(finding, format!("chmod {wanted:o} {shown}"), fix))
}
