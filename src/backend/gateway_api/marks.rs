//! The marks of a deployment and the history of a function in one short annotation: a gateway is sent no more bytes than
//! faas-cli sends it. Read back, they are the annotations that they were before there was this one.
//!
//! `SPEC,STACK,ARTIFACT;RECORD;RECORD…`, and a record is `AT,BY,COMMIT,CHANGED,IMAGE,ARTIFACT,SPEC,STACK,TARGET,NUMBER`,
//! newest first. An empty field, and each that is not there at the end, is that of the record ahead of it; for the first,
//! that of the deployment itself. `-` is none.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::backend::{ARTIFACT_KEY, Change, SPEC_KEY, STACK_KEY};
use crate::history::{self, HISTORY_KEY, MARK, Record};
use crate::wire::Map;

/// The annotation. No part of a key of ours, so that it is the shortest that says whose it is.
pub const KEY: &str = "faas.dev";

/// The longest: faasd keeps annotations as labels of containerd, which may have 4096 bytes with their key.
const MOST_BYTES: usize = 3500;
/// How times are written, in records and here.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";
/// Nothing, where an empty field is the same as ahead of it.
const NONE: &str = "-";
/// The artifact is the image, as it is named.
const NAMED: &str = ".";
/// The artifact is what stands at the end of the image's name.
const PINNED: &str = "@";
/// What is not written shorter.
const PLAIN: char = '=';

/// Whether an annotation is for `faas` alone.
#[must_use]
pub fn is_own(key: &str) -> bool {
    key == KEY || key.starts_with("faas.dev/")
}

/// The annotation for what `change` deploys as `image`.
#[must_use]
pub fn pack(change: &Change, image: &str) -> String {
    let artifact = match change.artifact.identity() {
        same if same == image => String::new(),
        other => short_artifact(other, Some(image)),
    };
    let head = joined([short_hash(&change.spec), escaped(&change.stack), artifact]);
    let base = Record {
        spec: Some(change.spec.clone()),
        stack: some(&change.stack),
        image: some(image),
        artifact: some(change.artifact.identity()),
        changed: vec![CREATED.into()],
        ..Record::default()
    };
    let list = &change.history[..change.history.len().min(history::MOST)];
    let whole = |most: usize| {
        let base = Record { number: most as u64 + 1, ..base.clone() };
        let ahead = std::iter::once(&base).chain(list);
        let records = list[..most].iter().zip(ahead).map(|(record, ahead)| format!(";{}", short(record, ahead)));
        format!("{head}{}", records.collect::<String>())
    };
    (0..=list.len()).rev().map(whole).find(|text| text.len() <= MOST_BYTES).unwrap_or(head)
}

/// Adds what stands in it, under the keys that everything else knows; what can't be read adds nothing.
pub fn unpack(annotations: &mut Map, image: &str) {
    if let Some(read) = annotations.get(KEY).and_then(|text| read(text, image)) {
        annotations.extend(read);
    }
}

/// The annotations as the platform itself has them.
#[must_use]
pub fn bare(annotations: &Map) -> Map {
    let packed = annotations.contains_key(KEY);
    let there = |key: &str| !(packed && [SPEC_KEY, ARTIFACT_KEY, STACK_KEY, HISTORY_KEY].contains(&key));
    annotations.iter().filter(|(key, _)| there(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn read(text: &str, image: &str) -> Option<Map> {
    let mut parts = text.split(';');
    let head: Vec<&str> = parts.next()?.split(',').collect();
    let field = |at: usize| head.get(at).copied().unwrap_or_default();
    let (spec, stack) = (long_hash(field(0))?, plain(field(1))?);
    let artifact = if field(2).is_empty() { image.to_owned() } else { long_artifact(field(2), Some(image))? };
    let lines: Vec<&str> = parts.collect();
    let mut ahead = Record {
        number: lines.len() as u64 + 1,
        spec: Some(spec.clone()),
        stack: some(&stack),
        image: some(image),
        artifact: some(&artifact),
        changed: vec![CREATED.into()],
        ..Record::default()
    };
    let mut list = Vec::new();
    for line in lines {
        let record = long(line, &ahead)?;
        ahead = Record { changed: vec![CREATED.into()], ..record.clone() };
        list.push(record);
    }
    let mut map = Map::from([(SPEC_KEY.into(), spec), (ARTIFACT_KEY.into(), artifact), (STACK_KEY.into(), stack)]);
    if !list.is_empty() {
        map.insert(HISTORY_KEY.into(), serde_json::to_string(&list).ok()?);
    }
    Some(map)
}

/// What a record without a word of it has changed.
const CREATED: &str = "created";

fn short(record: &Record, ahead: &Record) -> String {
    let differs = |own: &Option<String>, ahead: &Option<String>, write: &dyn Fn(&str) -> String| match own {
        same if same == ahead => String::new(),
        Some(own) => write(own),
        None => NONE.into(),
    };
    let at = match (seconds(record.at.as_deref()), seconds(ahead.at.as_deref())) {
        (Some(at), Some(later)) if later >= at => base36(later - at),
        (Some(at), None) if ahead.at.is_none() => base36(at),
        _ => record.at.as_deref().map_or_else(|| NONE.into(), |at| format!("{PLAIN}{}", escaped(at))),
    };
    let dirt = if record.dirty { "+" } else { "" };
    let commit = match (&record.commit, record.dirty) == (&ahead.commit, ahead.dirty) {
        true => String::new(),
        false => record.commit.as_deref().map_or_else(|| NONE.into(), |commit| short_hash_whole(commit) + dirt),
    };
    let changed = match record.changed.as_slice() {
        [] => NONE.into(),
        [one] if one == CREATED => String::new(),
        many => many.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("+"),
    };
    let number = if record.number + 1 == ahead.number { String::new() } else { record.number.to_string() };
    joined([
        at,
        differs(&record.by, &ahead.by, &escaped),
        commit,
        changed,
        differs(&record.image, &ahead.image, &escaped),
        differs(&record.artifact, &ahead.artifact, &|own| short_artifact(own, record.image.as_deref())),
        match (&record.spec, &ahead.spec) {
            (Some(own), Some(ahead)) if history::same_spec(own, ahead) => String::new(),
            (own, ahead) => differs(own, ahead, &short_hash),
        },
        differs(&record.stack, &ahead.stack, &escaped),
        differs(&record.target, &ahead.target, &escaped),
        number,
    ])
}

fn long(line: &str, ahead: &Record) -> Option<Record> {
    let fields: Vec<&str> = line.split(',').collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let text = |at: usize, ahead: &Option<String>| match field(at) {
        "" => Some(ahead.clone()),
        NONE => Some(None),
        text => plain(text).map(Some),
    };
    let at = match field(0) {
        NONE => None,
        text if text.starts_with(PLAIN) => Some(plain(&text[1..])?),
        text => {
            let number = i64::from_str_radix(if text.is_empty() { "0" } else { text }, 36).ok()?;
            let at = seconds(ahead.at.as_deref()).map_or(Some(number), |later| later.checked_sub(number))?;
            Some(Timestamp::from_second(at).ok()?.strftime(TIME).to_string())
        }
    };
    let (commit, dirty) = match field(2) {
        "" => (ahead.commit.clone(), ahead.dirty),
        NONE => (None, false),
        text => {
            let bare = text.strip_suffix('+');
            (Some(long_hash(bare.unwrap_or(text))?), bare.is_some())
        }
    };
    let image = text(4, &ahead.image)?;
    Some(Record {
        number: if field(9).is_empty() { ahead.number.checked_sub(1)? } else { field(9).parse().ok()? },
        at,
        by: text(1, &ahead.by)?,
        commit,
        dirty,
        changed: match field(3) {
            "" => vec![CREATED.into()],
            NONE => Vec::new(),
            names => names.split('+').map(plain).collect::<Option<_>>()?,
        },
        artifact: match field(5) {
            "" => ahead.artifact.clone(),
            NONE => None,
            text => Some(long_artifact(text, image.as_deref())?),
        },
        image,
        spec: match field(6) {
            "" => ahead.spec.clone(),
            NONE => None,
            text => Some(long_hash(text)?),
        },
        stack: text(7, &ahead.stack)?,
        target: text(8, &ahead.target)?,
    })
}

/// So much of a hash as tells it from the one that it is compared with.
fn short_hash(hash: &str) -> String {
    short_hash_whole(match hash.get(..MARK) {
        Some(start) if is_hex(hash) => start,
        _ => hash,
    })
}

/// A hash in fewer letters, or a text that is none as it is.
fn short_hash_whole(hash: &str) -> String {
    match hash.len() >= MARK && is_hex(hash) {
        true => hex(hash).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_else(|| format!("{PLAIN}{hash}")),
        false if hash.is_empty() => String::new(),
        false => format!("{PLAIN}{}", escaped(hash)),
    }
}

fn long_hash(text: &str) -> Option<String> {
    match text.strip_prefix(PLAIN) {
        Some(text) => plain(text),
        None => Some(unhex(&URL_SAFE_NO_PAD.decode(text).ok()?)),
    }
}

fn short_artifact(artifact: &str, image: Option<&str>) -> String {
    let at_end = image.and_then(|image| image.strip_suffix(artifact)).is_some_and(|rest| rest.ends_with(['@', ':']));
    match artifact.strip_prefix("sha256:") {
        _ if image == Some(artifact) => NAMED.into(),
        _ if at_end && !artifact.is_empty() => format!("{PINNED}{}", base36(artifact.len() as i64)),
        Some(digest) if digest.len() == 64 && is_hex(digest) => format!("s{}", short_hash_whole(digest)),
        _ => format!("{PLAIN}{}", escaped(artifact)),
    }
}

fn long_artifact(text: &str, image: Option<&str>) -> Option<String> {
    if text == NAMED {
        return image.map(str::to_owned);
    }
    if let Some(length) = text.strip_prefix(PINNED) {
        let (image, length) = (image?, usize::from_str_radix(length, 36).ok()?);
        return image.get(image.len().checked_sub(length)?..).map(str::to_owned);
    }
    match text.strip_prefix('s') {
        Some(digest) => long_hash(digest).map(|digest| format!("sha256:{digest}")),
        None => plain(text.strip_prefix(PLAIN)?),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Fields in a row; those that are empty at the end go without saying.
fn joined<const N: usize>(fields: [String; N]) -> String {
    fields.join(",").trim_end_matches(',').to_owned()
}

/// Without the letters that part fields, and never what stands for none.
fn escaped(text: &str) -> String {
    let parts = |c: char| c.is_ascii_control() || ",;+%\"\\".contains(c);
    let mut escaped = String::new();
    for c in text.chars() {
        let is_none = escaped.is_empty() && text == NONE;
        match c {
            c if parts(c) || is_none => escaped += &format!("%{:02x}", u32::from(c)),
            c => escaped.push(c),
        }
    }
    escaped
}

fn plain(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn is_hex(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

fn unhex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds of a time that is written as records write them.
fn seconds(at: Option<&str>) -> Option<i64> {
    let time: Timestamp = at?.parse().ok()?;
    (time.strftime(TIME).to_string() == at? && time.as_second() >= 0).then(|| time.as_second())
}

fn base36(mut number: i64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(number % 36).unwrap_or_default()]);
        number /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::backend::How;
    use crate::function::Function;

    const SPEC: &str = "820ddffd6d1dccccb754161348d4a3a6";

    fn change(image: &str, digest: Option<&str>, history: Vec<Record>) -> Change {
        Change {
            function: Function { name: "tax".into(), ..Function::default() },
            artifact: Artifact::Image { reference: image.into(), digest: digest.map(str::to_owned) },
            spec: SPEC.into(),
            stack: "shop".into(),
            how: How::Upsert,
            force: false,
            history,
        }
    }

    fn record(number: u64, at: &str) -> Record {
        Record {
            number,
            at: Some(at.into()),
            stack: Some("shop".into()),
            image: Some("r/tax:1".into()),
            artifact: Some("r/tax:1".into()),
            spec: Some(SPEC.into()),
            changed: vec!["created".into()],
            ..Record::default()
        }
    }

    fn there_and_back(change: &Change, image: &str) -> Map {
        let mut map = Map::from([(KEY.to_owned(), pack(change, image)), ("topic".to_owned(), "a".to_owned())]);
        unpack(&mut map, image);
        assert_eq!(map.remove("topic").as_deref(), Some("a"));
        map
    }

    #[test]
    fn a_first_deployment_takes_few_bytes() {
        let change = change("r/tax:1", None, vec![record(1, "2026-11-30T12:21:01Z")]);
        assert_eq!(pack(&change, "r/tax:1"), "gg3f_W0d,shop;tpbeb1");
        let map = there_and_back(&change, "r/tax:1");
        assert_eq!((map[SPEC_KEY].as_str(), map[ARTIFACT_KEY].as_str()), (&SPEC[..MARK], "r/tax:1"));
        assert_eq!(map[STACK_KEY], "shop");
        let short = Record { spec: Some(SPEC[..MARK].into()), ..change.history[0].clone() };
        assert_eq!(history::past(&map), [short]);
    }

    #[test]
    fn every_field_of_every_record_comes_back() {
        let image = format!("r/tax@sha256:{}", "ab".repeat(32));
        let digest = format!("sha256:{}", "ab".repeat(32));
        let full = Record {
            number: 9,
            by: Some("j, ane; 100%+ü".into()),
            commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
            dirty: true,
            target: Some("-".into()),
            image: Some(image.clone()),
            artifact: Some(digest.clone()),
            spec: Some(SPEC[..MARK].into()),
            changed: vec!["code".into(), "environment.A+B".into()],
            ..record(9, "2026-11-30T12:21:01Z")
        };
        let odd = Record { at: Some("yesterday".into()), spec: Some("s1".into()), number: 7, ..full.clone() };
        let clean = Record { dirty: false, at: None, changed: Vec::new(), number: 6, ..full.clone() };
        let bare = Record { number: 5, ..Record::default() };
        let list =
            vec![full, odd, clean, bare, Record { spec: Some("s1".into()), ..record(4, "2026-11-29T00:00:00Z") }];
        let map = there_and_back(&change(&image, Some(&digest), list.clone()), &image);
        assert_eq!(history::past(&map), list);
        assert_eq!(map[ARTIFACT_KEY], digest);
    }

    #[test]
    fn artifacts_of_every_kind_come_back() {
        let sha = format!("sha256:{}", "0f".repeat(32));
        for (image, artifact) in [
            ("r/tax:1", sha.as_str()),
            ("bundle:00ffee", "00ffee"),
            ("bundle:00ffee", "other"),
            ("r/tax:1", "r/tax:2"),
            ("r/tax:1", "s1"),
        ] {
            let map = there_and_back(&change(image, Some(artifact), Vec::new()), image);
            assert_eq!(map[ARTIFACT_KEY], artifact, "{image}");
        }
    }

    #[test]
    fn the_oldest_go_where_there_is_no_room_and_numbers_stay() {
        let long = |n: u64| Record { changed: vec![format!("environment.{}", "X".repeat(900))], ..record(n, "") };
        let list: Vec<Record> = (1..=30).rev().map(long).collect();
        let change = change("r/tax:1", None, list);
        assert!(pack(&change, "r/tax:1").len() <= MOST_BYTES);
        let past = history::past(&there_and_back(&change, "r/tax:1"));
        assert_eq!(past.iter().map(|record| record.number).collect::<Vec<_>>(), [30, 29, 28]);
    }

    #[test]
    fn what_is_no_mark_of_ours_is_left_as_it_is() {
        for text in ["no;more", "!!", "gg3f_W0d,shop;,,!"] {
            let there = Map::from([(KEY.to_owned(), text.to_owned())]);
            let mut map = there.clone();
            unpack(&mut map, "r/tax:1");
            assert_eq!(map, there);
        }
        let before = Map::from([(SPEC_KEY.to_owned(), SPEC.to_owned()), ("topic".to_owned(), "a".to_owned())]);
        let mut map = before.clone();
        unpack(&mut map, "r/tax:1");
        assert_eq!((&map, bare(&map)), (&before, before.clone()));
    }

    #[test]
    fn what_a_platform_has_is_told_as_it_has_it() {
        let there = Map::from([(KEY.to_owned(), "gg3f_W0d,shop;tpbeb1".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let mut map = there.clone();
        unpack(&mut map, "r/tax:1");
        assert_ne!(map, there);
        assert_eq!(bare(&map), there);
    }
}
