//! Quantities of memory and CPU, compared: a container that asks for more than it may have is never made.
//! Suffixes: k8s.io/apimachinery `pkg/api/resource/suffix.go`.
use crate::function::Function;
use crate::problem::Problem;

const SUFFIXES: [(&str, f64); 15] = [
    ("", 1.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
];

/// Its number; `None` of what Kubernetes has no such quantity of.
fn value(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    match SUFFIXES.iter().find(|(known, _)| *known == suffix) {
        Some((_, factor)) => Some(number.parse::<f64>().ok()? * factor),
        None => text.parse().ok(),
    }
}

/// Requests that are above their limits.
pub fn beyond(function: &Function) -> Vec<Problem> {
    let (limits, requests) = (&function.limits, &function.requests);
    let parts = [("memory", &requests.memory, &limits.memory), ("cpu", &requests.cpu, &limits.cpu)];
    let one = |(part, request, limit): (&str, &Option<String>, &Option<String>)| {
        let (request, limit) = (request.as_deref()?, limit.as_deref()?);
        (value(request)? > value(limit)?).then(|| {
            let field = format!("functions.{}.requests.{part}", function.name);
            Problem::error(field, format!("{request} is more than `limits.{part}`, which is {limit}"))
                .hint("a function is given what it requests and gets no more than its limit: make one of them fit")
        })
    };
    parts.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Resources;

    #[test]
    fn quantities_are_compared_whatever_their_suffixes() {
        let fields = |requests: [&str; 2], limits: [&str; 2]| {
            let of = |[memory, cpu]: [&str; 2]| Resources { memory: Some(memory.into()), cpu: Some(cpu.into()) };
            let function =
                Function { name: "a".into(), requests: of(requests), limits: of(limits), ..Default::default() };
            beyond(&function).into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(fields(["1Gi", "1"], ["1024Mi", "1000m"]), none);
        assert_eq!(fields(["1e3", "0.5"], ["1k", "500m"]), none);
        assert_eq!(fields(["1Gi", "1"], ["1G", "999m"]), ["functions.a.requests.memory", "functions.a.requests.cpu"]);
        assert_eq!(fields(["lots", "1"], ["1G", "more"]), none);
    }
}
