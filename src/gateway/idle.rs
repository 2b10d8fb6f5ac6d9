//! Scale to zero: a function that asks for it by label, and that nobody has called for a while, sleeps until its next
//! call. Labels as OpenFaaS Pro has them: `com.openfaas.scale.zero` and `com.openfaas.scale.zero-duration`.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balance::Function;
use super::controller::Controller;
use super::record::Key;
use crate::wire::FunctionDeployment;

/// How long without calls, unless the label says: OpenFaaS Pro's default.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// How long without calls before the function sleeps; `None` when it never does.
pub(super) fn limit(deployment: &FunctionDeployment) -> Option<Duration> {
    let labels = deployment.labels.as_ref()?;
    if !matches!(labels.get("com.openfaas.scale.zero").map(String::as_str), Some("true" | "1")) {
        return None;
    }
    let asked = labels.get("com.openfaas.scale.zero-duration");
    Some(asked.and_then(|text| faas_watchdog::parse_duration(text)).unwrap_or(IDLE))
}

/// Looks for idle functions for as long as the platform runs.
pub(super) async fn watch(controller: Arc<Controller>) {
    let mut quiet: HashMap<Key, (u64, Instant)> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let mut seen = HashMap::new();
        for function in controller.functions(None) {
            let Some(limit) = limit(&function.record().deployment) else { continue };
            if function.replicas().is_empty() {
                continue;
            }
            let calls = function.counters.started();
            let since = match quiet.get(&function.key) {
                Some((before, since)) if *before == calls && !is_busy(&function) => *since,
                _ => Instant::now(),
            };
            if since.elapsed() >= limit {
                match controller.scale(&function.key, 0).await {
                    Ok(()) => tracing::info!("{} sleeps: no call for {limit:?}", function.key),
                    Err(refused) => {
                        tracing::warn!("{} can't be put to sleep: {}", function.key, refused.text.trim_end())
                    }
                }
            } else {
                seen.insert(function.key.clone(), (calls, since));
            }
        }
        quiet = seen;
    }
}

fn is_busy(function: &Function) -> bool {
    function.replicas().iter().any(|replica| replica.load() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_that_ask_for_it_sleep() {
        let limit = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| (format!("com.openfaas.scale.{k}"), (*v).to_owned())).collect();
            limit(&FunctionDeployment { labels: Some(labels), ..Default::default() })
        };
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[("zero-duration", "5m")]), None);
        assert_eq!(limit(&[("zero", "false")]), None);
        assert_eq!(limit(&[("zero", "true")]), Some(IDLE));
        assert_eq!(limit(&[("zero", "true"), ("zero-duration", "1500ms")]), Some(Duration::from_millis(1500)));
    }
}
