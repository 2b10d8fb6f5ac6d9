//! Calls by the clock: a schedule of EventBridge Scheduler whose target is the alias `live`.
use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use serde_json::json;

use super::aws::Aws;
use super::fault::{code, fault, said};
use super::name::ALIAS;
use super::role::{self, Role};
use crate::error::{OrFault, Result};

/// When, in EventBridge's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `cron(minute hour day month weekday year)`.
    pub expression: String,
    /// Its time zone.
    pub timezone: String,
}

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Schedule {
    /// A cron expression of five fields in EventBridge's six.
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based>
    ///
    /// # Errors
    /// Why EventBridge can't say the same.
    pub fn of(cron: &str, timezone: &str) -> Result<Self, String> {
        let fields: Vec<&str> = cron.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("`{cron}` has not five fields"));
        };
        let any = |field: &str| matches!(field, "*" | "?");
        let (day, weekday) = match (any(day), any(weekday)) {
            // Cron means either of the two; EventBridge takes one.
            (false, false) => {
                return Err(
                    "EventBridge takes a day of the month or a day of the week, not both; make two functions of it"
                        .into(),
                );
            }
            (false, true) => (from(day, 1), "?".into()),
            (true, false) => ("?".into(), weekdays(weekday)?),
            (true, true) => ("*".into(), "?".into()),
        };
        let (minute, hour, month) = (from(minute, 0), from(hour, 0), from(month, 1).to_uppercase());
        let expression = format!("cron({minute} {hour} {day} {month} {weekday} *)");
        Ok(Self { expression, timezone: timezone.to_owned() })
    }
}

/// `*/5` as `0/5`: EventBridge wants a start before a step.
fn from(field: &str, least: u8) -> String {
    let items = field.split(',').map(|item| match item.strip_prefix("*/") {
        Some(step) => format!("{least}/{step}"),
        None => item.to_owned(),
    });
    items.collect::<Vec<_>>().join(",")
}

/// Days of the week by name: cron counts from 0 or 7 for Sunday, EventBridge from 1.
fn weekdays(field: &str) -> Result<String, String> {
    let number = |text: &str| -> Result<usize, String> {
        let named = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
        named.or_else(|| text.parse().ok().filter(|n| *n <= 7)).ok_or_else(|| format!("`{text}` is no day of the week"))
    };
    let mut days = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (first, last) = match range.split_once('-') {
            Some((a, b)) => (number(a)?, number(b)?),
            None if range == "*" => (0, 6),
            None if step.is_some() => (number(range)?, 6),
            None => (number(range)?, number(range)?),
        };
        let step = step.map_or(Ok(1), |step| step.parse().map_err(|_| format!("`{step}` is no step")))?;
        days.extend((first..=last).step_by(usize::max(step, 1)).map(|day| day % 7));
    }
    Ok(days.into_iter().map(|day| DAYS[day]).collect::<Vec<_>>().join(","))
}

/// What the function is sent: a call without a body, as every platform's schedules make.
#[must_use]
pub fn input(name: &str) -> String {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"user-agent": "faas-schedule", "x-topic": "cron-function"},
        "requestContext": {"http": {"method": "POST", "path": "/"}, "stage": name},
        "isBase64Encoded": false,
    })
    .to_string()
}

/// Makes the schedule of the function `name`, whose ARN is given, as it is wanted.
///
/// # Errors
/// When EventBridge refuses it.
pub async fn ensure(aws: &Aws, name: &str, arn: &str, wanted: &Schedule, role: &Role) -> Result<()> {
    let why = || format!("can't make the schedule of {name}");
    let target = Target::builder().arn(format!("{arn}:{ALIAS}")).role_arn(&role.arn).input(input(name)).build();
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().or_fault(why)?;
    let target = target.or_fault(why)?;
    let create = aws
        .scheduler
        .create_schedule()
        .name(name)
        .schedule_expression(&wanted.expression)
        .schedule_expression_timezone(&wanted.timezone)
        .flexible_time_window(window.clone())
        .target(target.clone());
    let mut waited = Duration::ZERO;
    loop {
        match create.clone().send().await {
            Ok(_) => return Ok(()),
            Err(error) if code(&error) == "ConflictException" => break,
            // A new role takes its time until all of AWS knows it.
            Err(error) if role.young && said(&error).contains("assume") && waited < role::SETTLES => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                waited += Duration::from_secs(3);
            }
            Err(error) => return Err(fault(why(), &error)),
        }
    }
    let update = aws
        .scheduler
        .update_schedule()
        .name(name)
        .schedule_expression(&wanted.expression)
        .schedule_expression_timezone(&wanted.timezone)
        .flexible_time_window(window)
        .target(target);
    update.send().await.map(|_| ()).map_err(|error| fault(why(), &error))
}

/// Removes the schedule of a function, if there is one.
///
/// # Errors
/// When it is there and can't be removed.
pub async fn remove(aws: &Aws, name: &str) -> Result<()> {
    match aws.scheduler.delete_schedule().name(name).send().await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == "ResourceNotFoundException" => Ok(()),
        Err(error) => Err(fault(format!("can't remove the schedule of {name}"), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_become_six() {
        for (cron, expected) in [
            ("*/5 * * * *", "cron(0/5 * * * ? *)"),
            ("0 9-17 * * MON-FRI", "cron(0 9-17 ? * MON,TUE,WED,THU,FRI *)"),
            ("0 0 1 jan *", "cron(0 0 1 JAN ? *)"),
            ("0 0 * * 0", "cron(0 0 ? * SUN *)"),
            ("0 0 * * 5-7", "cron(0 0 ? * SUN,FRI,SAT *)"),
            ("0 0 ? * */2", "cron(0 0 ? * SUN,TUE,THU,SAT *)"),
            ("1,31 */2 */10 */3 *", "cron(1,31 0/2 1/10 1/3 ? *)"),
        ] {
            assert_eq!(Schedule::of(cron, "UTC").map(|s| s.expression).as_deref(), Ok(expected), "{cron}");
        }
        assert!(Schedule::of("0 0 13 * 5", "UTC").unwrap_err().contains("not both"));
    }
}
