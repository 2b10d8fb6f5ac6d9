//! The invokers of the release: where each is, and the checksum without which none is taken.
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::Digest;

use super::NAME;
use crate::context::Env;
use crate::error::{Fault, Kind, OrFault, Result};
use crate::fetch;

/// Where the release has them. `FAAS_WATCHDOG_URL` names a mirror in the same way.
const URL: &str = "https://github.com/faas-dev/faas/releases/download/v{version}/faas-watchdog-{arch}";
/// Lines of `sha256sum`, filled in by scripts/pin-watchdog.sh for a release. `FAAS_WATCHDOG_SUMS` names a file of others.
const SUMS: &str = include_str!("released.sha256");
/// None is larger.
const MOST: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// One at a time: functions are built side by side, and want the same one.
static FETCHING: Mutex<()> = Mutex::new(());

/// The released invoker for an architecture, out of the cache or fetched now; `None` when no checksum is known for it.
///
/// # Errors
/// When it can't be fetched, or is another than was released.
pub fn get(architecture: &str, env: &Env, cache: &Path) -> Result<Option<PathBuf>> {
    let own = match env.get("FAAS_WATCHDOG_SUMS") {
        Some(path) => {
            Some(std::fs::read_to_string(path).or_fault(|| format!("can't read FAAS_WATCHDOG_SUMS, {path}"))?)
        }
        None => None,
    };
    let Some(sum) = sum(own.as_deref().unwrap_or(SUMS), &format!("{NAME}-{architecture}")) else { return Ok(None) };
    let path = cache.join("watchdog").join(&sum[..16]).join(format!("{NAME}-{architecture}"));
    let _one = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    // Looked at each time: what goes into every image is worth a few milliseconds.
    if std::fs::read(&path).is_ok_and(|bytes| sha256(&bytes) == sum) {
        return Ok(Some(path));
    }
    let url = env.get("FAAS_WATCHDOG_URL").unwrap_or(URL);
    let url = url.replace("{version}", env!("CARGO_PKG_VERSION")).replace("{arch}", architecture);
    let way_out = format!("put {NAME}-{architecture} beside the faas program, or name one in FAAS_WATCHDOG");
    let request = fetch::Request { url: &url, what: "the invoker", most: MOST, timeout: PATIENCE, etag: None };
    // On a thread of its own: whoever asks may be within a runtime already.
    let fetched = std::thread::scope(|scope| {
        scope
            .spawn(|| crate::runtime::block_on(fetch::get(request)))
            .join()
            .unwrap_or_else(|_| Err(Fault::failed(format!("can't fetch {url}"))))
    });
    let fetched = fetched.map_err(|fault| match fault.kind {
        Kind::Usage => fault,
        _ => fault.hint(way_out.clone()),
    })?;
    let bytes = fetched.bytes.unwrap_or_default();
    let got = sha256(&bytes);
    if got != sum {
        return Err(Fault::failed(format!("{} is not the {NAME} that was released: it is not used", fetched.name))
            .cause(format!("its SHA-256 is {got}, and {sum} is expected"))
            .hint(way_out));
    }
    let keep = || {
        std::fs::create_dir_all(path.parent().unwrap_or(cache))?;
        fetch::replace(&path, &bytes)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
    };
    keep().or_fault(|| format!("can't write {}", path.display()))?;
    Ok(Some(path))
}

/// The checksum of a file in `sha256sum`'s lines.
fn sum(lines: &str, file: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let (sum, name) = line.trim().split_once(char::is_whitespace)?;
        let whole = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (whole && name.trim_start_matches([' ', '*']) == file).then(|| sum.to_ascii_lowercase())
    })
}

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_sha256sum() {
        let a = "a".repeat(64);
        let lines = format!("# words\n{a}  faas-watchdog-amd64\n{} *faas-watchdog-arm64\nshort  x\n", "B".repeat(64));
        assert_eq!(sum(&lines, "faas-watchdog-amd64"), Some(a));
        assert_eq!(sum(&lines, "faas-watchdog-arm64"), Some("b".repeat(64)));
        assert_eq!((sum(&lines, "x"), sum(&lines, "faas-watchdog")), (None, None));
    }

    #[test]
    fn what_is_built_in_is_empty_or_whole() {
        for line in SUMS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let name = line.split_whitespace().nth(1).unwrap();
            assert!(sum(SUMS, name).is_some(), "{line}");
        }
    }
}
