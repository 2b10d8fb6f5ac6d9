//! What a platform tells of one function beyond the usual: conditions, revisions, trouble.
use std::fmt::Write;

use super::table;
use crate::backend::{Detail, Revision};

/// The revisions as a table; columns that no revision has anything for are left out.
#[must_use]
pub fn revisions(revisions: &[Revision]) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let tags = |r: &Revision| r.tags.keys().cloned().collect::<Vec<_>>().join(",");
    type Cell<'a> = Box<dyn Fn(&Revision) -> Option<String> + 'a>;
    let columns: [(&str, Cell<'_>); 7] = [
        ("REVISION", Box::new(|r| Some(r.name.clone()))),
        ("TRAFFIC", Box::new(|r| Some(format!("{}%", r.share)))),
        ("TAGS", Box::new(|r| Some(tags(r)).filter(|tags| !tags.is_empty()))),
        ("READY", Box::new(|r| r.ready.map(yes))),
        ("REPLICAS", Box::new(|r| r.replicas.map(|n| n.to_string()))),
        ("CREATED", Box::new(|r| r.created.clone())),
        ("IMAGE", Box::new(|r| Some(r.image.clone()))),
    ];
    let used: Vec<_> = columns
        .iter()
        .enumerate()
        .filter(|(number, (_, cell))| *number < 2 || revisions.iter().any(|r| cell(r).is_some()))
        .map(|(_, column)| column)
        .collect();
    let heading: Vec<_> = used.iter().map(|(name, _)| *name).collect();
    let rows: Vec<Vec<String>> =
        revisions.iter().map(|r| used.iter().map(|(_, cell)| clean(&cell(r).unwrap_or_default())).collect()).collect();
    table::columns(&heading, &rows)
}

/// What `describe` adds.
#[must_use]
pub fn text(detail: &Detail) -> String {
    let mut text = String::new();
    if detail.paused {
        text += "Rollout:            paused\n";
    }
    let tagged: Vec<_> = detail.revisions.iter().flat_map(|r| &r.tags).collect();
    if !tagged.is_empty() {
        text += "Tags:\n";
        for (tag, url) in tagged {
            let _ = writeln!(text, " {tag}: {}", clean(url));
        }
    }
    if let Some(trouble) = &detail.trouble {
        text += "Trouble:\n";
        for line in trouble.lines() {
            let _ = writeln!(text, " {}", clean(line));
        }
    }
    if !detail.conditions.is_empty() {
        let rows: Vec<Vec<String>> = detail
            .conditions
            .iter()
            .map(|c| {
                let said = [c.reason.as_str(), c.message.as_str()];
                let said = said.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(": ");
                vec![c.kind.clone(), c.status.clone(), c.since.clone().unwrap_or_default(), clean(&said)]
            })
            .collect();
        let _ = write!(text, "\n{}", table::columns(&["CONDITION", "STATUS", "SINCE", "WHY"], &rows));
    }
    if !detail.revisions.is_empty() {
        let _ = write!(text, "\n{}", revisions(&detail.revisions));
    }
    text
}

/// Text of others on one line, without what steers a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { if c.is_whitespace() { ' ' } else { '\u{fffd}' } } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Condition;

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let plain = Revision { name: "tax-1".into(), share: 100, image: "reg/tax".into(), ..Revision::default() };
        assert_eq!(revisions(std::slice::from_ref(&plain)), "REVISION  TRAFFIC  IMAGE\ntax-1     100%     reg/tax\n");
        let tagged = Revision {
            tags: [("green".to_owned(), "http://green-tax".to_owned())].into(),
            ready: Some(true),
            replicas: Some(0),
            ..plain
        };
        assert_eq!(
            revisions(&[tagged]),
            "REVISION  TRAFFIC  TAGS   READY  REPLICAS  IMAGE\ntax-1     100%     green  yes    0         reg/tax\n"
        );
    }

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        let detail = Detail {
            conditions: vec![Condition {
                kind: "Ready".into(),
                status: "False".into(),
                reason: "Why".into(),
                message: "a\u{1b}[2Jb\nc".into(),
                since: None,
            }],
            trouble: Some("ended\n  \u{1b}]0;x".into()),
            paused: true,
            ..Detail::default()
        };
        let text = text(&detail);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("Why: a\u{fffd}[2Jb c"), "{text}");
        assert!(text.starts_with("Rollout:            paused\nTrouble:\n ended\n   \u{fffd}]0;x\n"), "{text}");
    }
}
