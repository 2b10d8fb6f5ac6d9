//! The way of a call: find the function, take the least loaded replica that is ready, pass bodies through as they come.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use faas_watchdog::BoxError;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::{Body as HttpBody, Incoming};

use super::answer::{self, Answer, Body, Refused};
use super::balance::Function;
use super::controller::Controller;
use super::record::Key;
use super::replica::{Held, READY};

/// The call's id, made here unless the caller gave one.
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// When the call came, in nanoseconds since 1970.
pub(super) const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
/// Which gateway answered.
pub(super) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// How long the function took, in seconds.
pub(super) const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");
/// Set by the invoker on answers that are its own and not the function's.
const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const US: HeaderValue = HeaderValue::from_static(concat!("faas/", env!("CARGO_PKG_VERSION")));

/// What a path below `/function/` names: the function, and path and query for it.
pub(super) fn target(uri: &Uri, prefix: &str) -> Option<(String, String)> {
    let rest = uri.path().strip_prefix(prefix)?;
    let (called, path) = rest.split_once('/').unwrap_or((rest, ""));
    if called.is_empty() {
        return None;
    }
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    Some((called.to_owned(), format!("/{path}{query}")))
}

/// What a call carries from here on, for the function and for the answer.
pub(super) struct Stamp {
    /// Its id.
    pub call_id: HeaderValue,
    /// When it came.
    pub start: HeaderValue,
}

impl Stamp {
    /// For a call that came now; puts it on the call's headers too.
    pub fn on(headers: &mut HeaderMap, uri: &Uri, peer: SocketAddr) -> Self {
        let given = headers.get(CALL_ID).filter(|id| !id.is_empty()).cloned();
        let call_id = given.unwrap_or_else(|| {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            let id = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""))
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = HeaderValue::from(u64::try_from(now.as_nanos()).unwrap_or_default());
        headers.insert(CALL_ID, call_id.clone());
        headers.insert(START_TIME, start.clone());
        let from = match headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok()) {
            Some(before) => HeaderValue::from_str(&format!("{before}, {peer}")),
            None => HeaderValue::from_str(&peer.to_string()),
        };
        headers.insert(FORWARDED_FOR, from.unwrap_or(HeaderValue::from_static("")));
        if !headers.contains_key(FORWARDED_HOST) {
            let authority = uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
            if let Some(host) = authority.or_else(|| headers.get(HOST).cloned()) {
                headers.insert(FORWARDED_HOST, host);
            }
        }
        Self { call_id, start }
    }

    /// Puts it on an answer.
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.insert(CALL_ID, self.call_id);
        headers.insert(START_TIME, self.start);
        headers.insert(SERVED_BY, US);
    }
}

/// `/function/NAME[.NAMESPACE][/PATH]`.
pub(super) async fn serve(controller: &Arc<Controller>, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    let Some((called, path)) = target(request.uri(), "/function/") else {
        return Refused::missing("404 page not found").answer();
    };
    let (mut parts, body) = request.into_parts();
    let stamp = Stamp::on(&mut parts.headers, &parts.uri, peer);
    parts.uri = match PathAndQuery::try_from(path) {
        Ok(path) => Uri::from(path),
        Err(e) => return Refused::bad(e).answer(),
    };
    call(controller, &called, Request::from_parts(parts, body), stamp).await
}

/// Calls a function; `request` has path and query as the function is to see them.
pub(super) async fn call<B>(controller: &Arc<Controller>, called: &str, request: Request<B>, stamp: Stamp) -> Answer
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(function) = controller.find(called) else { return unknown(controller, called) };
    let began = Instant::now();
    function.counters.start();
    let mut answer = match dispatch(controller, &function, request).await {
        Ok(response) => response.map(Body::Function),
        Err(refused) => {
            let mut answer = refused.answer();
            answer.headers_mut().insert(INTERNAL, HeaderValue::from_static("gateway"));
            answer
        }
    };
    function.counters.done(answer.status(), began.elapsed());
    let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    stamp.mark(headers);
    if !headers.contains_key(CONTENT_TYPE) && !upgraded {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    answer
}

/// Whether the answer says that the function could not take the call now, or broke off while it had it.
pub(super) fn is_worth_another_try(answer: &Answer) -> bool {
    answer.headers().contains_key(INTERNAL)
        && matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
        )
}

/// In OpenFaaS's words, by which clients know it.
fn unknown(controller: &Controller, called: &str) -> Answer {
    let Key { namespace, name } = Key::parse(called);
    let (code, why) = match controller.namespaces.check(&namespace) {
        Ok(()) => (404, String::new()),
        Err(refused) => (400, refused.text),
    };
    answer::text(
        StatusCode::NOT_FOUND,
        format!(
            "error finding function {name}.{namespace}: server returned non-200 status code ({code}) for function, \
             {name}, body: {why}"
        ),
    )
}

async fn dispatch<B>(
    controller: &Arc<Controller>,
    function: &Arc<Function>,
    request: Request<B>,
) -> Result<Response<faas_watchdog::Body>, Refused>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let replica = match function.pick() {
        Some(replica) => replica,
        None => wait_for_replica(controller, function).await?,
    };
    Ok(replica.invoker().call(request).await)
}

/// For a function that sleeps, starts, or has crashed.
async fn wait_for_replica(controller: &Arc<Controller>, function: &Arc<Function>) -> Result<Held, Refused> {
    let name = &function.key.name;
    let unreachable = |why: &dyn std::fmt::Display| {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, format_args!("Can't reach service for: {name}. {why}"))
    };
    let Some(_waiting) = function.wait() else {
        return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, format_args!("too many calls wait for {name}")));
    };
    let until = tokio::time::Instant::now() + READY;
    loop {
        let mut changes = function.changes();
        if let Some(replica) = function.pick() {
            return Ok(replica);
        }
        let replicas = function.replicas();
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if left == Duration::ZERO {
            return Err(unreachable(&format_args!("No replica was ready within {} s", READY.as_secs())));
        }
        if replicas.is_empty() {
            controller.wake(function).await.map_err(|refused| unreachable(&refused.text.trim_end()))?;
            continue;
        }
        let ready = futures_util::future::select_ok(replicas.iter().map(|r| Box::pin(r.invoker().wait_ready(left))));
        tokio::select! {
            ready = ready => drop(ready.map_err(|e| unreachable(&e))?),
            _ = changes.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_function_and_what_it_is_to_see() {
        let at = |uri: &'static str| target(&Uri::from_static(uri), "/function/");
        let some = |called: &str, path: &str| Some((called.to_owned(), path.to_owned()));
        assert_eq!(at("/function/tax"), some("tax", "/"));
        assert_eq!(at("/function/tax/"), some("tax", "/"));
        assert_eq!(at("/function/tax?q=1"), some("tax", "/?q=1"));
        assert_eq!(at("/function/tax.shop/a/b?c=d&e"), some("tax.shop", "/a/b?c=d&e"));
        assert_eq!(at("/function/tax//a%2Fb"), some("tax", "//a%2Fb"));
        assert_eq!(at("/function/"), None);
        assert_eq!(at("/function"), None);
    }

    #[test]
    fn a_call_keeps_the_id_it_came_with() {
        let peer = "127.0.0.1:5".parse().unwrap();
        let uri = Uri::from_static("/function/tax");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8080"));
        let stamp = Stamp::on(&mut headers, &uri, peer);
        assert_eq!(stamp.call_id.len(), 36);
        assert_eq!(
            (&headers[FORWARDED_FOR], &headers[FORWARDED_HOST]),
            (&"127.0.0.1:5".parse().unwrap(), &"localhost:8080".parse().unwrap())
        );
        let again = Stamp::on(&mut headers, &uri, peer);
        assert_eq!(again.call_id, stamp.call_id);
        assert_eq!(headers[FORWARDED_FOR], "127.0.0.1:5, 127.0.0.1:5");
    }
}
