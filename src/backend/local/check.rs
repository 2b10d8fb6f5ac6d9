//! What is wrong with a function on the embedded platform, told before anything is changed.
use crate::function::{Function, UrlAccess};
use crate::problem::Problem;

/// Everything wrong with it, all at once.
pub fn check(function: &Function) -> Vec<Problem> {
    let at = |field: &str| format!("functions.{}.{field}", function.name);
    let mut problems = Vec::new();
    let mut warn = |field: &str, message: &str, hint: &str| {
        problems.push(Problem::warning(at(field), message).hint(hint));
    };
    for (field, there) in [("limits.cpu", function.limits.cpu.is_some()), ("requests", !function.requests.is_empty())] {
        if there {
            warn(
                field,
                "the embedded platform shares this machine out as the kernel does: this has no effect",
                "it has on the other providers; `limits.memory` is kept here, too",
            );
        }
    }
    if function.read_only {
        warn(
            "readonly_root_filesystem",
            "a process sees this machine's file system as it is: this has no effect",
            "it has on the other providers",
        );
    }
    if !function.constraints.is_empty() {
        warn(
            "constraints",
            "the embedded platform is one machine: this has no effect",
            "it has on the other providers",
        );
    }
    if function.schedule.is_some() {
        warn(
            "schedule",
            "the embedded platform does not call by schedule",
            "call `faas invoke` from cron while you try things out here",
        );
    }
    if !function.topics.is_empty() {
        warn(
            "topic",
            "the embedded platform has no events: this has no effect",
            "call `faas invoke --event TYPE` to try it",
        );
    }
    if !function.domains.is_empty() {
        warn("domain", "the embedded platform maps no domains: this has no effect", "it has on provider `knative`");
    }
    if function.scale.idle.is_some() && function.scale.min != Some(0) {
        warn("scale.idle", "this has no effect without `min: 0`", "set `scale.min: 0` to let an idle function sleep");
    }
    if function.url == Some(UrlAccess::Iam) {
        problems.push(
            Problem::error(at("url"), "the embedded platform knows no identities: `url: iam` can't be kept")
                .hint("use `url: public`; it listens on this machine only unless told otherwise"),
        );
    }
    if let Some(text) = function.limits.memory.as_ref().filter(|text| faas_watchdog::parse_size(text).is_none()) {
        problems.push(
            Problem::error(at("limits.memory"), format!("`{text}` is no size of memory")).hint("write it as 128Mi"),
        );
    }
    if function.build.skip || function.lang.is_empty() {
        let field = if function.lang.is_empty() { "image" } else { "skip_build" };
        problems.push(
            Problem::error(
                at(field),
                format!("`{}` is an image, and the embedded platform runs processes", function.name),
            )
            .hint("give it `lang` and `handler`, without `skip_build`, or deploy it to provider `openfaas`"),
        );
    }
    let scale = &function.scale;
    if let (Some(min), Some(max)) = (scale.min, scale.max)
        && min > max
    {
        problems.push(Problem::error(at("scale"), format!("`min` is {min}, more than `max`, which is {max}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Resources, Scale};

    #[test]
    fn what_has_no_effect_is_a_warning_and_what_can_not_be_kept_an_error() {
        assert!(check(&Function { lang: "go".into(), name: "tax".into(), ..Function::default() }).is_empty());
        let function = Function {
            name: "tax".into(),
            lang: "go".into(),
            limits: Resources { memory: Some("64Mi".into()), cpu: Some("100m".into()) },
            schedule: Some("* * * * *".into()),
            read_only: true,
            ..Function::default()
        };
        let fields: Vec<String> = check(&function).into_iter().filter(|p| !p.is_error()).map(|p| p.field).collect();
        assert_eq!(
            fields,
            ["functions.tax.limits.cpu", "functions.tax.readonly_root_filesystem", "functions.tax.schedule"]
        );
        let function = Function {
            name: "tax".into(),
            lang: "go".into(),
            limits: Resources { memory: Some("100n".into()), cpu: None },
            url: Some(UrlAccess::Iam),
            scale: Scale { min: Some(3), max: Some(2), ..Scale::default() },
            ..Function::default()
        };
        assert_eq!(check(&function).iter().filter(|p| p.is_error()).count(), 3);
        let alone = check(&Function { name: "tax".into(), ..Function::default() });
        assert_eq!(alone.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["functions.tax.image"]);
    }
}
