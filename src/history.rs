//! What is kept of each deployment: when, by whom, from which commit and stack, what changed. Platforms keep it where
//! they have room: gateways as an annotation, Knative on its revisions, Lambda as the description of its versions.
use serde::{Deserialize, Serialize};

mod author;

pub use author::{asks_git, author};

/// Annotation: the last deployments of a function, newest first, where the platform has no revisions of its own. Gateways
/// keep it in a shorter one with the other marks.
pub const HISTORY_KEY: &str = "faas.dev/history";
/// Annotation of a revision: the deployment that it came from.
pub const RECORD_KEY: &str = "faas.dev/deployment";

/// Most of them that are kept in one annotation.
pub const MOST: usize = 10;
/// So many letters of a hash of a configuration tell it from the one that it is compared with.
pub const MARK: usize = 12;
/// The longest description: Lambda takes 256, of which escapes in a tag need some.
const DESCRIPTION: usize = 236;
/// How a description of ours begins.
const OURS: &str = "faas";

/// One deployment of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its number, where the platform has no name for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub number: u64,
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// By whom: the user of the machine, or who started the CI job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The git commit that the stack file lay in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether files differed from that commit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// The stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The target that was laid over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The image, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What ran, by content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// The hash of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// What changed, by name, never by value: `created`, `code`, `environment.RATE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A deployment that a platform remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// What `faas rollout undo --to` takes: the name of a revision, or a number.
    pub id: String,
    /// Whether it serves calls now.
    pub serves: bool,
    /// What is known of it.
    #[serde(flatten)]
    pub record: Record,
}

impl Record {
    /// The commit as people write it, with a mark where files differed from it.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let commit = self.commit.as_deref()?;
        let short = commit.get(..12).unwrap_or(commit);
        Some(if self.dirty { format!("{short}+") } else { short.to_owned() })
    }

    /// As an annotation of a revision.
    #[must_use]
    pub fn annotation(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As a description that fits, in characters that tags may hold, too; what changed goes first when there is no room.
    #[must_use]
    pub fn description(&self) -> String {
        let mut text = OURS.to_owned();
        let mut word = |key: &str, value: Option<&str>, most: usize| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                text += &format!(" {key}={}", plain(value).chars().take(most).collect::<String>());
            }
        };
        word("by", self.by.as_deref(), 40);
        word("commit", self.source().as_deref(), 16);
        word("stack", self.stack.as_deref(), 40);
        word("target", self.target.as_deref(), 20);
        let mut lead = " changed=";
        for (nth, name) in self.changed.iter().enumerate() {
            let name = plain(name);
            let is_last = nth + 1 == self.changed.len();
            let room = DESCRIPTION - lead.len() - if is_last { 0 } else { 1 + MORE.len() };
            if text.len() + name.len() > room {
                text = text + lead + MORE;
                break;
            }
            text = text + lead + &name;
            lead = ":";
        }
        text
    }

    /// What a description of ours says.
    #[must_use]
    pub fn described(text: &str) -> Option<Self> {
        let mut record = Self::default();
        for (key, value) in text.strip_prefix(OURS)?.split(' ').filter_map(|word| word.split_once('=')) {
            let value = value.to_owned();
            match key {
                "by" => record.by = Some(value),
                "commit" => {
                    record.dirty = value.ends_with('+');
                    record.commit = Some(value.trim_end_matches('+').to_owned());
                }
                "stack" => record.stack = Some(value),
                "target" => record.target = Some(value),
                "changed" => record.changed = value.split(':').map(str::to_owned).collect(),
                _ => {}
            }
        }
        (record != Self::default()).then_some(record)
    }
}

/// In characters that stand for nothing in a description.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "+-._/@".contains(c) { c } else { '-' }).collect()
}

/// Stands for what had no room.
const MORE: &str = "...";

/// The deployments that annotations tell of, newest first; what is no record of ours is none.
#[must_use]
pub fn past(annotations: &std::collections::BTreeMap<String, String>) -> Vec<Record> {
    if let Some(text) = annotations.get(HISTORY_KEY) {
        return serde_json::from_str(text).unwrap_or_default();
    }
    let one = annotations.get(RECORD_KEY).and_then(|text| serde_json::from_str(text).ok());
    one.into_iter().collect()
}

/// Whether two hashes are those of the same configuration; of either, a platform may have kept but the beginning.
#[must_use]
pub fn same_spec(one: &str, other: &str) -> bool {
    let starts = |long: &str, start: &str| start.len() >= MARK && long.starts_with(start);
    one == other || starts(one, other) || starts(other, one)
}

/// The list with one more in front; that of the same deployment, cut off and begun again, stays as it is.
#[must_use]
pub fn with(mut past: Vec<Record>, new: Record, again: bool) -> Vec<Record> {
    let same = past.first().is_some_and(|last| {
        let spec = match (&last.spec, &new.spec) {
            (Some(last), Some(new)) => same_spec(last, new),
            (last, new) => last == new,
        };
        spec && last.artifact == new.artifact
    });
    if same && !again {
        return past;
    }
    let number = past.first().map_or(0, |last| last.number) + 1;
    past.insert(0, Record { number, ..new });
    past
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> Record {
        Record { number: n, spec: Some(format!("s{n}")), artifact: Some(format!("a{n}")), ..Record::default() }
    }

    #[test]
    fn the_newest_stands_first_and_what_was_cut_off_is_no_second_one() {
        let list = with(with(Vec::new(), record(0), false), Record { number: 0, ..record(7) }, false);
        assert_eq!(list.iter().map(|r| r.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(with(list.clone(), record(7), false), list);
        assert_eq!(with(list, record(7), true).len(), 3);
    }

    #[test]
    fn what_is_no_history_is_none() {
        assert!(past(&[(HISTORY_KEY.to_owned(), "no JSON".to_owned())].into()).is_empty());
    }

    #[test]
    fn the_beginning_of_a_hash_is_enough_and_a_few_letters_are_not() {
        let whole = "820ddffd6d1dccccb754161348d4a3a6";
        assert!(same_spec(whole, &whole[..MARK]) && same_spec(&whole[..MARK], whole));
        assert!(!same_spec(whole, &whole[..MARK - 1]) && !same_spec(whole, "") && !same_spec(whole, "820ddffd6d1e"));
    }

    #[test]
    fn a_description_fits_and_says_who() {
        let record = Record {
            by: Some("jane".into()),
            commit: Some("0123456789abcdef".into()),
            dirty: true,
            stack: Some("shop".into()),
            changed: (0..60).map(|n| format!("environment.NAME_{n}")).collect(),
            ..Record::default()
        };
        let text = record.description();
        assert!(text.chars().count() <= DESCRIPTION, "{text}");
        let back = Record::described(&text).unwrap();
        assert_eq!((back.by.as_deref(), back.source().as_deref()), (Some("jane"), Some("0123456789ab+")));
        assert_eq!(back.changed.last().map(String::as_str), Some(MORE));
        assert_eq!(Record::described("what the function is for"), None);
        let odd = Record { by: Some("\u{1} a=b".repeat(300)), changed: vec!["\"".repeat(900)], ..Record::default() };
        let text = odd.description();
        assert!(text.len() <= DESCRIPTION && text.ends_with(" changed=..."), "{text}");
        let whole = Record { changed: vec!["code".into(), "labels.a/b".into()], ..record }.description();
        assert_eq!(whole, "faas by=jane commit=0123456789ab+ stack=shop changed=code:labels.a/b");
    }
}
