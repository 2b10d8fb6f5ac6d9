//! Says when a context is so large that the user may not mean it, before it is copied.
use super::tree::Tree;
use crate::progress::Progress;

/// How large a context may be before that is worth a word, in bytes.
const LARGE: u64 = 512 << 20;

/// Warns of a context that takes long to copy and to send, and names its largest files.
pub fn warn(name: &str, tree: &Tree, progress: &dyn Progress) {
    let whole: u64 = tree.files.iter().map(|file| file.content.size()).sum();
    if whole <= LARGE {
        return;
    }
    let mut files: Vec<_> = tree.files.iter().map(|file| (file.content.size(), &file.path)).collect();
    files.sort_by(|a, b| b.cmp(a));
    let largest: Vec<String> =
        files.iter().take(3).map(|(size, path)| format!("{} ({})", path.display(), mebibytes(*size))).collect();
    let text = format!(
        "its context has {}, the largest files are {}: leave out what is not needed by .dockerignore or .faasignore",
        mebibytes(whole),
        largest.join(", ")
    );
    progress.warn(name, &text);
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
