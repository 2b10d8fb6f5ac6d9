//! `/system/…`: the management API, answered as OpenFaaS's gateway and provider answer it.
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer, Body, Refused, TEXT};
use super::controller::Controller;
use super::queue::Queue;
use super::record::Key;
use super::{DEFAULT_NAMESPACE, functions, logs, namespaces, secrets};
use crate::wire::{DeleteFunction, FunctionDeployment, FunctionNamespace, ScaleFunction, Secret};

/// Most bytes of a request's body: a secret may hold a certificate chain, a deployment a long environment.
const BODY: usize = 8 << 20;

type Outcome = Result<Answer, Refused>;

/// Whether there is such a path, whatever the method.
pub(super) fn knows(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (group, what, rest) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    group == Some("system")
        && match what {
            "functions" | "secrets" | "info" | "namespaces" | "logs" | "queue" => rest.is_empty(),
            "namespace" => !rest.contains('/'),
            "function" | "scale-function" => !rest.is_empty() && !rest.contains('/'),
            _ => false,
        }
}

/// Answers a call of a path that it [`knows`].
pub(super) async fn serve(controller: &Arc<Controller>, queue: &Queue, request: Request<Incoming>) -> Outcome {
    let (parts, body) = request.into_parts();
    let asked = Asked::new(&parts);
    let mut path = parts.uri.path().trim_start_matches('/').splitn(3, '/').skip(1);
    let (what, rest) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
    match (what, &parts.method) {
        ("functions", &Method::GET) => list(controller, &asked),
        ("functions", &Method::POST) => deploy(controller, read(body).await?, false).await,
        ("functions", &Method::PUT) => deploy(controller, read(body).await?, true).await,
        ("functions", &Method::DELETE) => {
            let spec: DeleteFunction = read(body).await?;
            controller.remove(&Key::new(asked.namespace_or(spec.namespace.as_deref()), spec.function_name)).await?;
            done()
        }
        ("function", &Method::GET) => describe(controller, &asked, rest).await,
        ("scale-function", &Method::POST) => scale(controller, &asked, rest, read(body).await?).await,
        ("secrets", &Method::GET) => list_secrets(controller, asked.namespace_or(None)),
        ("secrets", &Method::POST | &Method::PUT) => {
            let secret: Secret = read(body).await?;
            if !secret.name.is_empty() {
                controller.namespaces.check(secrets::namespace(&secret))?;
            }
            controller.secrets.write(&secret)?;
            done()
        }
        ("secrets", &Method::DELETE) => {
            controller.secrets.remove(&read(body).await?)?;
            done()
        }
        ("namespaces", &Method::GET) => Ok(answer::json(&controller.namespaces.names())),
        ("namespace", method) => namespace(controller, method, rest, body).await,
        ("logs", &Method::GET) => tell_logs(controller, &asked),
        ("info", &Method::GET) => Ok(answer::json(&info())),
        ("queue", &Method::GET) => tell_queue(controller, queue),
        _ => Err(Refused::method()),
    }
}

fn done() -> Outcome {
    Ok(answer::empty(StatusCode::OK))
}

/// The query's fields.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn new(parts: &http::request::Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    /// The namespace of the body, else of the query, else the default one.
    fn namespace_or<'a>(&'a self, of_body: Option<&'a str>) -> &'a str {
        of_body.filter(|n| !n.is_empty()).or_else(|| self.get("namespace")).unwrap_or(DEFAULT_NAMESPACE)
    }
}

async fn read<T: DeserializeOwned>(mut body: Incoming) -> Result<T, Refused> {
    let bytes = match Limited::new(&mut body, BODY).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            answer::discard(&mut body).await;
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format_args!("the body is larger than {BODY} bytes"),
            ));
        }
        Err(e) => return Err(Refused::bad(format_args!("the body was cut: {e}"))),
    };
    serde_json::from_slice(&bytes).map_err(Refused::bad)
}

fn list(controller: &Controller, asked: &Asked) -> Outcome {
    let namespace = asked.namespace_or(None);
    // Two newlines: the provider's text ends in one, and the gateway adds another.
    controller.namespaces.check(namespace).map_err(|refused| Refused::bad(refused.text))?;
    let rows: Vec<_> = controller.functions(Some(namespace)).iter().map(|f| functions::status(f)).collect();
    Ok(answer::json(&rows))
}

async fn deploy(controller: &Arc<Controller>, deployment: FunctionDeployment, update: bool) -> Outcome {
    controller.deploy(deployment, update).await?;
    done()
}

async fn describe(controller: &Controller, asked: &Asked, name: &str) -> Outcome {
    let namespace = asked.namespace_or(None);
    controller.namespaces.check(namespace)?;
    let Some(function) = controller.get(&Key::new(namespace, name)) else {
        return Ok(answer::empty(StatusCode::NOT_FOUND));
    };
    let mut status = functions::status(&function);
    if asked.is_set("usage") {
        status.usage = Some(functions::usage(&function).await);
    }
    Ok(answer::json(&status))
}

async fn scale(controller: &Controller, asked: &Asked, name: &str, spec: ScaleFunction) -> Outcome {
    let name = if spec.service_name.is_empty() { name } else { &spec.service_name };
    let replicas = u32::try_from(spec.replicas).unwrap_or(u32::MAX);
    controller.scale(&Key::new(asked.namespace_or(spec.namespace.as_deref()), name), replicas).await?;
    done()
}

fn list_secrets(controller: &Controller, namespace: &str) -> Outcome {
    controller.namespaces.check(namespace)?;
    let names = controller
        .secrets
        .list(namespace)
        .map_err(|e| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format_args!("secrets can't be listed: {e}")))?;
    let row = |name| Secret { name, namespace: Some(namespace.into()), ..Secret::default() };
    let rows: Vec<Secret> = names.into_iter().map(row).collect();
    let bytes = serde_json::to_vec(&rows).map_err(|e| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    Ok(answer::with(StatusCode::OK, Some(TEXT), Body::whole(bytes)))
}

async fn namespace(controller: &Controller, method: &Method, name: &str, body: Incoming) -> Outcome {
    let all = &controller.namespaces;
    if method == Method::GET {
        let Some(record) = all.get(name) else {
            return Err(Refused::missing(format_args!("namespace {name} not found")));
        };
        let found = FunctionNamespace { name: name.into(), labels: record.labels, annotations: record.annotations };
        return Ok(answer::json(&found));
    }
    if ![Method::POST, Method::PUT, Method::DELETE].contains(method) {
        return Err(Refused::method());
    }
    let mut asked: FunctionNamespace = read(body).await?;
    if asked.name.is_empty() {
        asked.name = name.into();
    }
    if method == Method::DELETE {
        namespaces::check_asked(&asked)?;
        controller.remove_namespace(&asked.name).await?;
        return Ok(answer::empty(StatusCode::ACCEPTED));
    }
    let update = method == Method::PUT;
    all.put(&controller.store, &asked, update).await?;
    Ok(answer::empty(if update { StatusCode::ACCEPTED } else { StatusCode::CREATED }))
}

fn tell_logs(controller: &Controller, asked: &Asked) -> Outcome {
    let key = Key::new(asked.namespace_or(None), asked.get("name").unwrap_or_default());
    let log = match controller.get(&key) {
        Some(function) => Arc::clone(&function.log),
        // Of one that never came up, for who asks why.
        None => match controller.log_left(&key) {
            Some(log) if !asked.is_set("follow") => log,
            _ => return done(),
        },
    };
    let number = |name: &str| match asked.get(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| Refused::bad(format_args!("{name} is `{text}`: it must be a number"))),
    };
    let since = match asked.get("since") {
        None => None,
        Some(text) => Some(text.parse().map_err(|e| Refused::bad(format_args!("since is `{text}`: {e}")))?),
    };
    let query = logs::Query {
        instance: asked.get("instance").map(str::to_owned),
        since,
        tail: number("tail")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
        follow: asked.is_set("follow"),
    };
    Ok(answer::with(StatusCode::OK, Some(TEXT), Body::Pieces(log.read(query))))
}

fn info() -> serde_json::Value {
    let version = env!("CARGO_PKG_VERSION");
    serde_json::json!({
        "provider": {
            "provider": "faas-local",
            "version": {"sha": "", "release": version},
            "orchestration": "process",
        },
        "version": {"commit_message": "", "sha": "", "release": version},
        "arch": std::env::consts::ARCH,
    })
}

/// Ours: how long the queue is, and the calls that were put aside.
fn tell_queue(controller: &Controller, queue: &Queue) -> Outcome {
    let dead = controller.store.dead()?;
    let row = |(number, call): &(u64, super::record::QueuedCall)| {
        serde_json::json!({
            "number": number,
            "callId": call.call_id,
            "function": call.called,
            "accepted": call.accepted,
            "attempts": call.attempts,
            "failure": call.failure,
        })
    };
    Ok(answer::json(&serde_json::json!({
        "length": queue.len(),
        "dead": dead.iter().map(row).collect::<Vec<_>>(),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_api_are_known() {
        for path in ["/system/functions", "/system/function/a", "/system/scale-function/a", "/system/namespace/"] {
            assert!(knows(path), "{path}");
        }
        for path in ["/", "/system", "/system/nonsense", "/system/function", "/system/functions/x", "/systems/info"] {
            assert!(!knows(path), "{path}");
        }
    }
}
