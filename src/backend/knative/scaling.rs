//! How a function scales, as the autoscaler's annotations. Keys and bounds: knative/serving
//! `pkg/apis/autoscaling/{register,annotation_validation}.go`.
use std::time::Duration;

use crate::function::Function;

/// The fewest pods.
pub const MIN: &str = "autoscaling.knative.dev/min-scale";
/// The most pods.
pub const MAX: &str = "autoscaling.knative.dev/max-scale";
/// How long the last pod may be kept, at most.
pub const LONGEST_IDLE: Duration = Duration::from_secs(3600);
const TARGET: &str = "autoscaling.knative.dev/target";
const METRIC: &str = "autoscaling.knative.dev/metric";
const UTILIZATION: &str = "autoscaling.knative.dev/target-utilization-percentage";
const IDLE: &str = "autoscaling.knative.dev/scale-to-zero-pod-retention-period";

/// OpenFaaS' label: what the load is measured in.
pub const TYPE_LABEL: &str = "com.openfaas.scale.type";
/// OpenFaaS' label: the share of the target at which it scales.
pub const PROPORTION_LABEL: &str = "com.openfaas.scale.target-proportion";

/// The annotations of the template.
pub fn annotations(function: &Function) -> Vec<(&'static str, String)> {
    let scale = &function.scale;
    let mut all = Vec::new();
    let mut set = |key, value: Option<String>| all.extend(value.map(|v| (key, v)));
    set(MIN, scale.min.map(|n| n.to_string()));
    set(MAX, scale.max.map(|n| n.to_string()));
    set(TARGET, scale.target.map(|n| n.to_string()));
    set(IDLE, scale.idle.map(|idle| format!("{}s", idle.min(LONGEST_IDLE).as_secs())));
    set(
        METRIC,
        match function.labels.get(TYPE_LABEL).map(String::as_str) {
            Some("rps") => Some("rps".into()),
            Some("capacity") => Some("concurrency".into()),
            _ => None,
        },
    );
    set(UTILIZATION, function.labels.get(PROPORTION_LABEL).and_then(|p| percentage(p)).map(|p| p.to_string()));
    all
}

/// A proportion as OpenFaaS writes it (`0.9`) in percent; `None` when it is none.
pub fn percentage(proportion: &str) -> Option<u8> {
    let percent = proportion.parse::<f64>().ok()? * 100.0;
    (1.0..=100.0).contains(&percent).then(|| percent.round() as u8)
}
