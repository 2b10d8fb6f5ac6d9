//! EventBridge's expressions as cron's five fields, where cron can say the same.

/// `rate(…)` or `cron(…)` as five fields.
///
/// # Errors
/// Why cron can't say it.
pub fn five_fields(expression: &str) -> Result<String, String> {
    let inside = |name: &str| expression.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(rate) = inside("rate") {
        let mut words = rate.split_whitespace();
        let number: u32 = words.next().and_then(|n| n.parse().ok()).ok_or("it can't be read")?;
        let unit = words.next().unwrap_or_default();
        return match (unit.trim_end_matches('s'), number) {
            ("minute", 1) => Ok("* * * * *".into()),
            ("minute", n) if n > 0 && 60 % n == 0 => Ok(format!("*/{n} * * * *")),
            ("hour", 1) => Ok("0 * * * *".into()),
            ("hour", n) if n > 0 && 24 % n == 0 => Ok(format!("0 */{n} * * *")),
            ("day", 1) => Ok("0 0 * * *".into()),
            _ => Err("cron counts from the full hour or day: say at which times".into()),
        };
    }
    let fields: Vec<&str> = inside("cron").ok_or("it is no rate and no cron")?.split_whitespace().collect();
    let &[minute, hour, day, month, weekday, ref year @ ..] = fields.as_slice() else {
        return Err("it has not six fields".into());
    };
    if year.iter().any(|year| *year != "*") {
        return Err("cron knows no years".into());
    }
    // Names of days and months have these letters, too.
    if day.contains(['W', 'L']) || weekday.contains('#') || weekday.ends_with('L') {
        return Err("cron knows no `L`, `W` and `#`".into());
    }
    let stepped = |field: &str, least: &str| match field.strip_prefix(least).and_then(|rest| rest.strip_prefix('/')) {
        Some(step) => format!("*/{step}"),
        None => field.replace('?', "*"),
    };
    // EventBridge counts days of the week from 1, cron from 0.
    let weekday: String = match weekday.chars().any(|c| c.is_ascii_digit()) && !weekday.contains('/') {
        true => weekday
            .chars()
            .map(|c| c.to_digit(10).map_or(c, |n| char::from(b'0' + n.saturating_sub(1) as u8)))
            .collect(),
        false => weekday.replace('?', "*"),
    };
    Ok([&stepped(minute, "0"), &stepped(hour, "0"), &stepped(day, "1"), &stepped(month, "1"), &weekday]
        .map(String::as_str)
        .join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cron_can_say() {
        for (from, to) in [
            ("rate(5 minutes)", "*/5 * * * *"),
            ("rate(1 day)", "0 0 * * *"),
            ("cron(0/5 * * * ? *)", "*/5 * * * *"),
            ("cron(0 9 ? * MON-FRI *)", "0 9 * * MON-FRI"),
            ("cron(0 9 ? JUL WED,FRI *)", "0 9 * JUL WED,FRI"),
            ("cron(0 9 ? * 2-6 *)", "0 9 * * 1-5"),
            ("cron(30 4 1 * ? *)", "30 4 1 * *"),
        ] {
            assert_eq!(five_fields(from).as_deref(), Ok(to), "{from}");
        }
        for not in [
            "rate(7 minutes)",
            "rate(2 days)",
            "cron(0 9 L * ? *)",
            "cron(0 9 15W * ? *)",
            "cron(0 9 ? * 6L *)",
            "cron(0 9 ? * 2#1 *)",
            "cron(0 9 ? * * 2027)",
            "at(x)",
            "cron(1)",
        ] {
            assert!(five_fields(not).is_err(), "{not}");
        }
    }
}
