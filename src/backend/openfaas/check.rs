//! What is wrong with a function on OpenFaaS, told before anything is changed.
use crate::backend::quantity;
use crate::function::{Function, UrlAccess};
use crate::problem::Problem;

/// The longest name: Kubernetes makes a label of it.
const LONGEST_NAME: usize = 63;

/// Everything wrong with it, all at once.
pub fn check(function: &Function) -> Vec<Problem> {
    let at = |field: &str| format!("functions.{}.{field}", function.name);
    let mut problems = Vec::new();
    if function.name.len() > LONGEST_NAME {
        problems.push(
            Problem::error(
                format!("functions.{}", function.name),
                format!("the name is longer than {LONGEST_NAME} characters"),
            )
            .hint("OpenFaaS makes a service of it, and those have shorter names"),
        );
    }
    if function.schedule.is_some() {
        problems.push(
            Problem::warning(at("schedule"), "OpenFaaS calls by schedule only where its cron-connector is installed")
                .hint("the annotations `topic: cron-function` and `schedule` are set for it"),
        );
    }
    if !function.topics.is_empty() {
        problems.push(
            Problem::warning(at("topic"), "OpenFaaS calls by topic only where a connector is installed")
                .hint("the annotation `topic` is set for it"),
        );
    }
    if !function.domains.is_empty() {
        problems.push(
            Problem::warning(at("domain"), "the gateway's API maps no domains: this has no effect")
                .hint("make an Ingress, or a FunctionIngress of OpenFaaS"),
        );
    }
    match function.url {
        Some(UrlAccess::Iam) => problems.push(
            Problem::error(at("url"), "OpenFaaS lets anyone call a function: `url: iam` can't be kept")
                .hint("use `url: public`, and check signatures in the function or put a proxy in front"),
        ),
        Some(UrlAccess::None) => problems.push(
            Problem::warning(at("url"), "OpenFaaS gives every function a URL: `url: none` has no effect")
                .hint("leave the key out, or close the gateway's /function/ path in a proxy"),
        ),
        Some(UrlAccess::Public) | None => {}
    }
    let scale = &function.scale;
    if scale.min == Some(0) || scale.idle.is_some() {
        problems.push(
            Problem::warning(at("scale"), "only OpenFaaS Pro scales to zero; elsewhere one replica stays")
                .hint("leave out `min: 0` and `idle` for the community edition and faasd"),
        );
    }
    if let (Some(min), Some(max)) = (scale.min, scale.max)
        && min > max
    {
        problems.push(Problem::error(at("scale"), format!("`min` is {min}, more than `max`, which is {max}")));
    }
    for (field, of) in [("limits", &function.limits), ("requests", &function.requests)] {
        for (part, value) in [("memory", &of.memory), ("cpu", &of.cpu)] {
            if let Some(value) = value
                && !is_quantity(value)
            {
                problems.push(
                    Problem::error(at(&format!("{field}.{part}")), format!("`{value}` is no quantity"))
                        .hint(if part == "cpu" { "write it as 100m or 0.5" } else { "write it as 128Mi or 1Gi" }),
                );
            }
        }
    }
    problems.extend(quantity::beyond(function));
    problems
}

/// A number with a suffix, as Kubernetes writes quantities; faasd takes fewer of them, and says so itself.
fn is_quantity(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[number.len()..];
    number.parse::<f64>().is_ok_and(|n| n >= 0.0)
        && matches!(
            suffix,
            "" | "m"
                | "k"
                | "K"
                | "M"
                | "G"
                | "T"
                | "P"
                | "Ki"
                | "Mi"
                | "Gi"
                | "Ti"
                | "Pi"
                | "b"
                | "g"
                | "kb"
                | "mb"
                | "gb"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Resources, Scale};

    #[test]
    fn everything_wrong_is_told_at_once_and_by_field() {
        let function = Function {
            name: "tax".into(),
            schedule: Some("* * * * *".into()),
            url: Some(UrlAccess::Iam),
            scale: Scale { min: Some(3), max: Some(2), ..Scale::default() },
            limits: Resources { memory: Some("lots".into()), cpu: Some("100m".into()) },
            ..Function::default()
        };
        let found: Vec<_> = check(&function).into_iter().map(|p| (p.field.clone(), p.is_error())).collect();
        assert_eq!(
            found,
            [
                ("functions.tax.schedule".into(), false),
                ("functions.tax.url".into(), true),
                ("functions.tax.scale".into(), true),
                ("functions.tax.limits.memory".into(), true),
            ]
        );
    }

    #[test]
    fn a_plain_function_is_fine() {
        let limits = Resources { memory: Some("128Mi".into()), cpu: Some("0.5".into()) };
        assert_eq!(check(&Function { name: "tax".into(), limits, ..Function::default() }), []);
    }
}
