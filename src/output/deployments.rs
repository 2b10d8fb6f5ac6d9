//! Deployments for people: a table, and one in full.
use super::{plain, table};
use crate::history::Deployment;

/// A row a deployment; the one that serves has a mark.
#[must_use]
pub fn table(all: &[Deployment]) -> String {
    let heading = ["", "DEPLOYMENT", "WHEN", "BY", "COMMIT", "TARGET", "ARTIFACT", "CHANGED"];
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let record = &one.record;
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                if one.serves { "*" } else { "" }.to_owned(),
                one.id.clone(),
                text(&record.at),
                text(&record.by),
                record.source().unwrap_or_default(),
                text(&record.target),
                record.artifact.as_ref().or(record.image.as_ref()).map(|text| short(text)).unwrap_or_default(),
                record.changed.join(","),
            ]
        })
        .collect();
    // A column that says nothing is left out.
    let used = |column: &usize| *column == 1 || rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..heading.len()).filter(used).collect();
    let heading: Vec<&str> = columns.iter().map(|column| heading[*column]).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect();
    table::columns(&heading, &rows)
}

/// Everything that is known of one.
#[must_use]
pub fn details(one: &Deployment) -> String {
    let record = &one.record;
    let commit = record.commit.as_ref().map(|commit| match record.dirty {
        true => format!("{commit}, with changes that were not committed"),
        false => commit.clone(),
    });
    let rows = [
        ("Deployment", Some(one.id.clone())),
        ("Serves", Some(if one.serves { "yes" } else { "no" }.to_owned())),
        ("When", record.at.clone()),
        ("By", record.by.clone()),
        ("Commit", commit),
        ("Stack", record.stack.clone()),
        ("Target", record.target.clone()),
        ("Image", record.image.clone()),
        ("Artifact", record.artifact.clone()),
        ("Configuration", record.spec.clone()),
        ("Changed", Some(record.changed.join(", ")).filter(|text| !text.is_empty())),
    ];
    let rows: Vec<(&str, String)> =
        rows.into_iter().filter_map(|(name, value)| Some((name, plain(&value?).into_owned()))).collect();
    table::fields(&rows)
}

/// Of a digest so much as tells it from others.
fn short(text: &str) -> String {
    let at = text.rfind("sha256:").map_or(0, |at| at + "sha256:".len());
    let hex = &text[at..];
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest { format!("{}{}", &text[..at], &hex[..12]) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Record;

    #[test]
    fn columns_that_say_nothing_are_left_out_and_digests_are_short() {
        let one = Deployment {
            id: "2".into(),
            serves: true,
            record: Record {
                by: Some("jane\u{1b}[2J".into()),
                commit: Some("0123456789abcdef".into()),
                dirty: true,
                artifact: Some(format!("sha256:{}", "ab".repeat(32))),
                changed: vec!["code".into(), "environment.RATE".into()],
                ..Record::default()
            },
        };
        let text = table(&[one.clone(), Deployment { id: "1".into(), ..Deployment::default() }]);
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[0].contains("DEPLOYMENT  BY") && !rows[0].contains("TARGET"), "{text}");
        assert!(rows[1].starts_with("*  2"), "{text}");
        assert!(rows[1].ends_with("0123456789ab+  sha256:abababababab  code,environment.RATE"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(!details(&one).contains('\u{1b}'), "{}", details(&one));
        assert!(details(&one).contains("with changes that were not committed"), "{}", details(&one));
    }
}
