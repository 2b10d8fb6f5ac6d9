//! What the forms of `${V…}` do to a value: substrings, case, replacements, and prefixes or suffixes trimmed.

/// Characters from `from` on, `count` of them; what isn't a number leaves the whole value, as in drone/envsubst.
pub fn substring(value: &str, from: &str, count: Option<&str>) -> String {
    let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
    let Ok(from) = from.parse::<i64>() else { return value.into() };
    let from = if from < 0 { (length.saturating_add(from)).max(0) } else { from.min(length) };
    let end = match count.map(str::parse::<i64>) {
        None => length,
        Some(Err(_)) => return value.into(),
        Some(Ok(count)) if count < 0 => length.saturating_add(count),
        Some(Ok(count)) => from.saturating_add(count),
    };
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    value.chars().skip(size(from)).take(size(end - from)).collect()
}

/// The value with its first character changed.
pub fn first(value: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = value.chars();
    chars.next().map_or_else(String::new, |c| change(c) + chars.as_str())
}

/// What is replaced is plain text, not a pattern, as in drone/envsubst.
pub fn replace(value: &str, how: &str, what: &str, with: &str) -> String {
    match how {
        _ if what.is_empty() => value.into(),
        "/" => value.replace(what, with),
        "#" => value.strip_prefix(what).map_or_else(|| value.into(), |rest| format!("{with}{rest}")),
        "%" => value.strip_suffix(what).map_or_else(|| value.into(), |rest| format!("{rest}{with}")),
        _ => value.replacen(what, with, 1),
    }
}

/// Takes a prefix (`#`) or suffix (`%`) off: the shortest that matches the glob, or, doubled, the longest.
pub fn trim(value: String, how: &str, glob: &str) -> String {
    let Some(pattern) = whole(glob) else { return value };
    let cuts = value.char_indices().map(|(i, _)| i).chain([value.len()]);
    let fits = |cut: &usize| pattern.is_match(if how.starts_with('#') { &value[..*cut] } else { &value[*cut..] });
    let cut = match how {
        "#" | "%%" => cuts.clone().find(fits),
        _ => cuts.clone().rev().find(fits),
    };
    match cut {
        Some(cut) if how.starts_with('#') => value[cut..].into(),
        Some(cut) => value[..cut].into(),
        None => value,
    }
}

/// A shell glob (`*`, `?`, `[…]`, `\x`) as a regular expression that matches all of a text.
fn whole(glob: &str) -> Option<regex::Regex> {
    let mut pattern = String::from("(?s)^");
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => pattern += ".*",
            '?' => pattern.push('.'),
            '\\' => pattern += &regex::escape(&chars.next().unwrap_or('\\').to_string()),
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let (not, class) = match class.strip_prefix(['!', '^']) {
                    Some(rest) => ("^", rest),
                    None => ("", class.as_str()),
                };
                let class: String =
                    class.chars().flat_map(|c| if "[]^&~\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
                pattern += &format!("[{not}{class}]");
            }
            c => pattern += &regex::escape(&c.to_string()),
        }
    }
    pattern.push('$');
    regex::Regex::new(&pattern).ok()
}
