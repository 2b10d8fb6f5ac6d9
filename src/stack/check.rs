//! Rules for names, quantities and schedules.

/// Whether a platform takes this as a function's name: `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, at most 63 characters.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        Err("it is empty".into())
    } else if name.len() > 63 {
        Err(format!("it has {} characters, and 63 is the most", name.chars().count()))
    } else if let Some(c) = name.chars().find(|c| !inner(*c)) {
        Err(format!("`{}` can't be in it: only a-z, 0-9 and `-` can", c.escape_debug()))
    } else if name.starts_with('-') || name.ends_with('-') {
        Err("it can't start or end with `-`".into())
    } else {
        Ok(())
    }
}

/// A name near to `name` that keeps the rules, when there is one.
pub fn better_name(name: &str) -> Option<String> {
    let mapped: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    let trimmed = mapped.trim_matches('-');
    (!trimmed.is_empty() && trimmed != name).then(|| trimmed.to_owned())
}

/// Whether this can name an image: `[registry[:port]/]path[:tag][@digest]`. What else a registry or an engine asks of
/// names is left to them.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn image(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    // A variable that was left as it is stands for a name.
    if name.contains("${") {
        return Ok(());
    }
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(format!("`{}` can't be in it", c.escape_debug()));
    }
    let bare = name.split('@').next().unwrap_or(name);
    let last = bare.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match bare[last..].rfind(':') {
        Some(colon) => (&bare[..last + colon], Some(&bare[last + colon + 1..])),
        None => (bare, None),
    };
    if path.split('/').any(str::is_empty) {
        return Err("a part of it is empty".into());
    }
    // The first part may be a registry's address, which may have capitals.
    let name = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => path,
    };
    if name.contains(|c: char| c.is_ascii_uppercase()) {
        let lower = name.to_ascii_lowercase();
        return Err(match image(&lower) {
            Ok(()) => format!("names are in lower case: `{lower}`"),
            Err(wrong) => format!("names are in lower case, and {wrong}"),
        });
    }
    match tag {
        Some(tag) if tag.is_empty() || tag.starts_with(['.', '-']) => Err(format!("`{tag}` is no tag")),
        Some(tag) if tag.len() > 128 => Err("a tag has up to 128 characters".into()),
        _ => Ok(()),
    }
}

/// Whether this is a quantity of memory or CPU, as Kubernetes (`128Mi`, `0.5`, `100m`) or an engine (`128m`) has it.
pub fn is_quantity(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let units =
        ["", "n", "u", "m", "k", "K", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "b", "g", "B"];
    number.bytes().any(|b| b.is_ascii_digit())
        && number.matches('.').count() <= 1
        && (units.contains(&unit) || unit.strip_prefix(['e', 'E']).is_some_and(|e| e.parse::<i16>().is_ok()))
}

/// The cron expression in five fields (`@daily` and its kind written out).
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn cron(text: &str) -> Result<String, String> {
    const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
    const DAYS: &str = "SUN MON TUE WED THU FRI SAT";
    const FIELDS: [(&str, u32, u32, &str); 5] = [
        ("minute", 0, 59, ""),
        ("hour", 0, 23, ""),
        ("day of the month", 1, 31, ""),
        ("month", 1, 12, MONTHS),
        ("day of the week", 0, 7, DAYS),
    ];
    if text.starts_with('@') {
        let written_out = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => return Err("the shorthands are @hourly, @daily, @weekly, @monthly and @yearly".into()),
        };
        return Ok(written_out.into());
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "it has {} fields, and a schedule has 5: minute, hour, day of the month, month, day of the week",
            fields.len()
        ));
    }
    for (field, (what, least, most, names)) in fields.iter().zip(FIELDS) {
        let number = |text: &str| {
            let named = names.split(' ').position(|n| !n.is_empty() && n.eq_ignore_ascii_case(text));
            let named = named.and_then(|i| u32::try_from(i).ok()).map(|i| i + least);
            named.or_else(|| text.parse().ok()).filter(|n| (least..=most).contains(n))
        };
        let fits = |item: &str| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            let step_fits = step.is_none_or(|s| s.parse::<u32>().is_ok_and(|s| s > 0));
            let range_fits = match range.split_once('-') {
                Some((a, b)) => number(a).zip(number(b)).is_some_and(|(a, b)| a <= b),
                None => range == "*" || (range == "?" && what.starts_with("day")) || number(range).is_some(),
            };
            step_fits && range_fits
        };
        if !field.split(',').all(fits) {
            return Err(format!("`{field}` is no {what}: it takes {least}-{most}, `*`, ranges, lists and `/` steps"));
        }
    }
    Ok(fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a1", "1a", "a-b", &"x".repeat(63)] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "é", "a b", &"x".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert_eq!(better_name("My_Func.").as_deref(), Some("my-func"));
        assert_eq!(better_name("__"), None);
    }

    #[test]
    fn images() {
        for good in [
            "tax",
            "tax:latest",
            "127.0.0.1:5000/fn/tax",
            "r.io/a/b:1@sha256:0ab",
            "x/y@sha256:0",
            "${R}/x",
            "R.io:1/x:V1",
        ] {
            assert_eq!(image(good), Ok(()), "{good}");
        }
        for bad in
            ["", "r/tax:$(id)", "tax:", "/tax", "r//tax", "tax;ls", "a b", "r/`id`", "tax:-x", "Tax", "r.io/Me/tax"]
        {
            assert!(image(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantities() {
        for good in ["128Mi", "100m", "0.5", "1", "1e3", "128M", "40m", "2g", ".5"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "Mi", "128MB", "lots", "1.2.3", "-1", "1 Gi", "1e", "."] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn schedules() {
        for good in ["* * * * *", "*/5 * * * *", "0 9-17 * * MON-FRI", "1,2,3 0 1 jan ?", "0 0 1-15/2 * 7"] {
            assert!(cron(good).is_ok(), "{good}: {:?}", cron(good));
        }
        assert_eq!(cron("@daily").as_deref(), Ok("0 0 * * *"));
        assert_eq!(cron("0  0 *  * *").as_deref(), Ok("0 0 * * *"));
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "x * * * *",
            "@sometimes",
            "? * * * *",
        ] {
            assert!(cron(bad).is_err(), "{bad}");
        }
    }
}
