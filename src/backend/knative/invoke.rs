//! Calls of a function: by its URL, by an ingress that is told in the Host header whom the call is for, or through the
//! API server.
use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderValue, header};
use url::Url;

use super::cluster::Cluster;
use super::objects::{Condition, Service, condition};
use super::{broker, diagnosis, trouble, tunnel};
use crate::backend::{Call, Reply};
use crate::error::{Code, Fault, OrFault, Result};
use crate::function::FunctionId;
use crate::wire::client::{body, executed, install_tls};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What calls functions.
pub struct Caller {
    ingress: Option<String>,
    client: OnceLock<reqwest::Client>,
}

impl Caller {
    /// Calls go to `ingress` where one is given.
    pub fn new(ingress: Option<String>) -> Self {
        Self { ingress, client: OnceLock::new() }
    }

    /// Calls a function and gives the answer back as it comes, whatever its status. A function that is scaled to zero
    /// is waited for: Knative holds the call until a pod answers.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function, and when no answer came.
    pub async fn call(&self, cluster: &Cluster, id: &FunctionId, call: Call) -> Result<Reply> {
        if call.asynchronous {
            return broker::send(self, cluster, id, call).await;
        }
        let service = cluster.service(id).await?;
        let Some(own) = service.status.url.as_deref() else {
            return Err(Fault::failed(format!("{id} has no URL yet"))
                .cause("it never became ready")
                .hint(format!("`faas describe {id}` and `faas logs {id}` say more")));
        };
        if service.status.latest_ready_revision_name.is_empty() {
            return Err(never_ready(cluster, id, &service).await);
        }
        let own = Url::parse(own).or_fault(|| format!("the cluster gives {id} a URL that can't be read: {own}"))?;
        // No ingress knows what is for callers inside the cluster only.
        let reached = !service.is_local() && (self.ingress.is_some() || resolves(&own).await);
        if let Some(host) = own.host_str().filter(|_| !reached) {
            return tunnel::call(cluster, &service, host, call).await;
        }
        let (mut url, host) = match &self.ingress {
            Some(ingress) => (address(ingress)?, own.host_str().map(str::to_owned)),
            None => (own.clone(), None),
        };
        let (path, query) = call.path.split_once('?').map_or((call.path.as_str(), None), |(p, q)| (p, Some(q)));
        let below = path.trim_start_matches('/');
        url.set_path(&format!("{}/{below}", url.path().trim_end_matches('/')));
        url.set_query(query);

        let mut call = call;
        if let Some(host) = &host {
            let value = HeaderValue::from_str(host).or_fault(|| format!("{host} is no name of a host"))?;
            call.headers.insert(header::HOST, value);
        }
        self.send(url, call, &format!("can't call {id}")).await
    }

    /// Sends it to `url` as it is.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(&self, url: Url, call: Call, what: &str) -> Result<Reply> {
        let mut headers = call.headers;
        let sends_body = call.length != Some(0);
        if let (Some(length), true) = (call.length, sends_body) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let client = self.client()?;
        let mut builder = client.request(call.method, url.clone()).headers(headers);
        if sends_body {
            builder = builder.body(reqwest::Body::wrap_stream(call.body));
        }
        if let Some(timeout) = call.timeout {
            builder = builder.timeout(timeout);
        }
        let request = builder.build().or_fault(|| what.to_owned())?;
        let mut response = executed(client, request).await.map_err(|e| self.unanswered(what, &url, &e))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(Reply { status, headers, body: body(response) })
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        install_tls();
        let made = reqwest::Client::builder()
            .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // The body is passed on as the function wrote it.
            .no_gzip()
            .build()
            .or_fault(|| "can't make an HTTP client".into())?;
        Ok(self.client.get_or_init(|| made))
    }

    fn unanswered(&self, what: &str, url: &Url, error: &reqwest::Error) -> Fault {
        let place = &url[..url::Position::BeforePath];
        if error.is_timeout() && !error.is_connect() {
            return Fault::timed_out(format!("{what}: no answer from {place} in time"))
                .hint("--timeout gives it longer");
        }
        let fault = Fault::failed(format!("{what}: {place} can't be reached")).cause(trouble::chain(error));
        if !error.is_connect() {
            return fault;
        }
        fault.hint(match self.ingress {
            Some(_) => "is the cluster's ingress there? FAAS_KNATIVE_INGRESS or `provider.knative.ingress` names it",
            None => {
                "the cluster's domain leads nowhere from here: name its ingress as host:port in FAAS_KNATIVE_INGRESS or `provider.knative.ingress`"
            }
        })
    }
}

/// Nobody would answer: no revision was ever ready.
async fn never_ready(cluster: &Cluster, id: &FunctionId, service: &Service) -> Fault {
    let found = diagnosis::of(cluster, service).await.ok().flatten().map(|found| found.cause);
    let said = || condition(&service.status.conditions, "Ready").map(Condition::words);
    Fault::failed(format!("{id} is not ready, and no revision of it ever was: nobody answers"))
        .code(Code::NOT_READY)
        .cause(found.or_else(said).unwrap_or_else(|| "Knative says nothing about it".into()))
        .hint(format!("`faas describe {id}` and `faas logs {id}` say more"))
}

/// Whether a function's URL leads somewhere from here; the names of a cluster mostly don't.
pub async fn resolves(url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    if host.ends_with(".svc.cluster.local") {
        return false;
    }
    tokio::net::lookup_host((host, port)).await.is_ok_and(|mut found| found.next().is_some())
}

/// `host:port` or a URL.
pub fn address(ingress: &str) -> Result<Url> {
    let text = if ingress.contains("://") { ingress.to_owned() } else { format!("http://{ingress}") };
    let url = Url::parse(&text).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    url.ok_or_else(|| {
        Fault::usage(format!("`{ingress}` is no address of an ingress")).hint("write it as host:port, or as a URL")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingress_is_a_host_and_port_or_a_url() {
        assert_eq!(address("127.0.0.1:8080").unwrap().as_str(), "http://127.0.0.1:8080/");
        assert_eq!(address("https://in.example.com").unwrap().as_str(), "https://in.example.com/");
        assert!(address("ftp://x").is_err() && address("").is_err());
    }
}
