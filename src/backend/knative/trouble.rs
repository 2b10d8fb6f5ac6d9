//! What the API server refused, or why it didn't answer, as a [`Fault`] that says what to do.
use kube::core::Status;

use crate::error::{Fault, Kind};

/// What a validating webhook's refusal starts with.
const REFUSED: &str = "denied the request: ";

/// A failed call; `what` says what was being done.
pub fn fault(what: &str, error: kube::Error) -> Fault {
    match error {
        kube::Error::Api(status) => refused(what, &status),
        kube::Error::Auth(error) => Fault::unauthorized(what).cause(plugin(&error)).hint(
            "the credentials of the kubeconfig can't be had: does its plugin run by hand, and is its login still good?",
        ),
        error => {
            let words = chain(&error);
            let hint = unreachable(&words);
            Fault::failed(what).cause(words).hint(hint)
        }
    }
}

/// What to do about a login of the kubeconfig that can't be read: which field of which user it is.
pub fn login(user: &str, words: &str) -> Option<String> {
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    let field = if has(&["client certificate", "missing certificate"]) {
        "client-certificate (or client-certificate-data)"
    } else if has(&["client key", "private key"]) {
        "client-key (or client-key-data)"
    } else if has(&["identity PEM", "KeyMismatch", "InconsistentKeys", "keys may not be consistent"]) {
        "client-certificate and client-key (or their -data)"
    } else {
        return None;
    };
    Some(format!("look at {field} of the user {user} in the kubeconfig"))
}

/// What to do when the API server could not be asked, by what was said of it.
fn unreachable(words: &str) -> &'static str {
    let has = |sign: &str| words.contains(sign);
    if has("certificate: Expired") || has("certificate expired") || has("NotValidYet") || has("not valid yet") {
        "the API server's certificate is out of date: who runs the cluster renews it; or is the clock of this machine wrong?"
    } else if has("NotValidForName") || has("not valid for name") {
        "the API server's certificate has other names: `tls-server-name` of the kubeconfig's cluster says which to expect"
    } else if has("UnknownIssuer") || has("certificate") {
        "the cluster's certificate is not trusted: does the kubeconfig belong to this cluster?"
    } else if has("dns error") || has("failed to lookup address") {
        "the API server's name is not known here: does the cluster still exist, and does it need a VPN?"
    } else {
        "is the cluster running, and is the context the right one?"
    }
}

/// Whether a refusal may be over soon: the API server starts or ends, or has too much to do.
pub fn may_pass(status: &Status) -> bool {
    status.code == 429 || status.code >= 500
}

/// The API server said no.
pub fn refused(what: &str, status: &Status) -> Fault {
    let said = words(status);
    match status.code {
        401 => Fault::unauthorized(what).cause(said).hint(
            "the cluster doesn't know these credentials: is the kubeconfig's certificate or token out of date? log in again",
        ),
        403 if said.contains("exceeded quota") => Fault::failed(what)
            .cause(said)
            .hint("the namespace's quota is used up: remove something, or ask for smaller limits"),
        403 if said.contains("being terminated") => {
            Fault::failed(what).cause(said).hint("the namespace is being removed: wait for that, or use another")
        }
        403 => {
            let fault = Fault::unauthorized(what).cause(&said);
            match rule(&said) {
                Some(rule) => fault.hint(format!(
                    "a Role with this rule{} lets you: {rule}; `faas doctor` prints one with all that is needed",
                    place(&said)
                )),
                None => fault,
            }
        }
        404 if is_missing_api(status) => Fault::failed(what)
            .cause("the cluster doesn't have this API")
            .hint("is Knative Serving installed there, and is the context the right one?"),
        404 if said.contains("namespaces") => {
            Fault::not_found(what).cause(said).hint("`faas namespace create` makes a namespace")
        }
        404 => Fault::not_found(what).cause(said),
        408 | 504 => Fault::timed_out(what).cause(said),
        500 if is_webhook_down(status) => Fault::failed(what)
            .cause(said)
            .hint("Knative's webhook doesn't answer: look at the pods in the namespace knative-serving"),
        429 | 503 => Fault::failed(what)
            .cause(said)
            .hint("the API server has too much to do, or starts or ends, and was asked again for a while: try later"),
        _ => Fault::new(Kind::Failed, what).cause(said),
    }
}

/// The API server's words, without its prefixes.
pub fn words(status: &Status) -> String {
    let message = status.message.trim();
    let message = message.split_once(REFUSED).map_or(message, |(_, rest)| rest);
    message.strip_prefix("validation failed: ").unwrap_or(message).to_owned()
}

/// Whether a type is not known there: its definitions were never installed.
pub fn is_missing_api(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|d| d.name.is_empty())
}

/// Whether an admission webhook can't be reached, as while it restarts.
pub fn is_webhook_down(status: &Status) -> bool {
    status.code == 500 && status.message.contains("failed calling webhook")
}

/// The rule that a `… cannot VERB resource "R" in API group "G" …` asks for.
fn rule(said: &str) -> Option<String> {
    let verb = said.split_once(" cannot ")?.1.split_once(' ')?.0;
    let resource = said.split_once("resource \"")?.1.split_once('"')?.0;
    let group = said.split_once("API group \"")?.1.split_once('"')?.0;
    Some(format!("apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]"))
}

/// Where the rule has to be: ` in the namespace N`, or nothing when the whole cluster is meant.
fn place(said: &str) -> String {
    let namespace = said.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
    namespace.map(|(name, _)| format!(" in the namespace {name}")).unwrap_or_default()
}

fn plugin(error: &kube::client::AuthError) -> String {
    match error {
        // What it printed says more than its status; stdout may hold a token.
        kube::client::AuthError::AuthExecRun { cmd, out } => {
            // The command as Rust shows it: what is set in its environment comes first, and is JSON.
            let command = cmd.split_once("}\" ").map_or(cmd.as_str(), |(_, command)| command);
            let name = command.split_whitespace().next().unwrap_or_default().trim_matches('"');
            format!("{name} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim())
        }
        other => chain(other),
    }
}

/// An error with everything under it, each part once; without what only names a layer of ours.
pub fn chain(error: &dyn std::error::Error) -> String {
    const LAYERS: [&str; 2] = ["client error (Connect)", "client error (SendRequest)"];
    let mut text = error.to_string();
    if let Some(said) = text.strip_prefix("ServiceError: ") {
        text = said.to_owned();
    }
    let mut next = error.source();
    while let Some(inner) = next {
        let words = inner.to_string();
        if !text.contains(&words) && !LAYERS.contains(&words.as_str()) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Status {
        Status::failure(message, "").with_code(code)
    }

    #[test]
    fn a_login_that_is_no_good_names_its_user_and_field() {
        let hint = |words| login("jane", words);
        let missing = hint("failed to load client certificate: failed to read file '\"/no/such.crt\"': No such file");
        assert!(
            missing.unwrap().starts_with("look at client-certificate (or client-certificate-data) of the user jane")
        );
        assert!(hint("failed to load client key: failed to decode base64 data").unwrap().contains("client-key"));
        assert_eq!(hint("connection refused"), None);
    }

    #[test]
    fn a_forbidden_call_names_the_rule_that_is_missing() {
        let said = r#"services.serving.knative.dev is forbidden: User "u" cannot create resource "services" in API group "serving.knative.dev" in the namespace "default""#;
        let fault = refused("can't deploy tax", &status(403, said));
        assert_eq!(fault.kind, Kind::Unauthorized);
        assert_eq!(
            fault.hint.as_deref(),
            Some(
                r#"a Role with this rule in the namespace default lets you: apiGroups: ["serving.knative.dev"], resources: ["services"], verbs: ["create"]; `faas doctor` prints one with all that is needed"#
            )
        );
    }

    #[test]
    fn a_quota_is_no_question_of_rights() {
        let fault =
            refused("can't deploy tax", &status(403, "pods \"x\" is forbidden: exceeded quota: q, requested: …"));
        assert_eq!(fault.kind, Kind::Failed);
    }

    #[test]
    fn a_cluster_without_knative_is_told_from_a_missing_object() {
        let fault = refused("can't list", &status(404, "404 page not found"));
        assert!(fault.hint.unwrap().contains("Knative Serving"));
    }

    #[test]
    fn a_webhooks_prefix_is_dropped() {
        let said = r#"admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"#;
        assert_eq!(words(&status(400, said)), "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds");
    }
}
