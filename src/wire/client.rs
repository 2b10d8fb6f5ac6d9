//! A client of the gateway's REST API: one method an endpoint, every failure a [`Fault`] that says what to do.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::Stream;
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{DeleteFunction, FunctionDeployment, FunctionNamespace, FunctionStatus, LogMessage, ScaleFunction, Secret};
use crate::error::{Code, Fault, OrFault, Result};
use crate::listener::Listener;

mod address;
mod answer;
mod call;
mod exchange;
mod logs;
mod renewal;
mod trouble;
pub mod trust;

pub use address::parse as parse_address;
pub use answer::{Answer, is_about_namespace};
pub use call::{Request, body, executed};
pub use exchange::Exchanged;
pub use logs::LogsRequest;
pub use renewal::{EARLY, Renewal};

/// How often a call is sent again when the gateway says "too many requests".
const BUSY_RETRIES: u32 = 3;
/// From here on a wait is told.
const NOTICED: Duration = Duration::from_secs(1);
/// The longest wait that a `Retry-After` may ask for: who asks for more is left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a call shows to be let in.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Bearer(SecretString),
}

/// How to talk to a gateway.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to show. Sent with `/system` calls only, and never to another host.
    pub auth: Auth,
    /// How to go on when that ends within the command; `None` where it doesn't, or where nobody knows how.
    pub renewal: Option<Renewal>,
    /// Whether the server's certificate is checked.
    pub verify_tls: bool,
    /// Certificates that are trusted besides the system's.
    pub trusted: Vec<trust::Certificate>,
    /// How long a `/system` call may take, logs excepted.
    pub timeout: Duration,
    /// Who is told of waits.
    pub listener: Listener,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            renewal: None,
            verify_tls: true,
            trusted: Vec::new(),
            timeout: Duration::from_secs(60),
            listener: Listener::default(),
        }
    }
}

/// A client of one gateway. Cheap to make: connections and certificates are only touched by the first call.
#[derive(Debug)]
pub struct Client {
    base: Url,
    options: Options,
    shown: renewal::Shown,
    system: OnceLock<reqwest::Client>,
    relay: OnceLock<reqwest::Client>,
    /// The status of the last `/system` answer; 0 before the first.
    last: AtomicU16,
    /// Whether it is the embedded platform's.
    embedded: bool,
}

impl Client {
    /// A client of the gateway at `address`, as the user wrote it: the scheme may be missing (it is http then), a path
    /// is kept, and a user and password in it are used when `options` has none.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`] when it is no http or https address.
    pub fn new(address: &str, mut options: Options) -> Result<Self> {
        let (base, inline) = address::parse(address)?;
        if let (Auth::None, Some(inline)) = (&options.auth, inline) {
            options.auth = inline;
        }
        let shown = renewal::Shown::new(options.auth.clone(), options.renewal.clone());
        let (system, relay) = (OnceLock::new(), OnceLock::new());
        Ok(Self { base, options, shown, system, relay, last: AtomicU16::new(0), embedded: false })
    }

    /// The same of the embedded platform, which is told when nobody answers.
    #[must_use]
    pub fn embedded(self) -> Self {
        Self { embedded: true, ..self }
    }

    /// Whether it is the embedded platform's.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// The status of the last answer to a `/system` call.
    #[must_use]
    pub fn last_status(&self) -> Option<u16> {
        Some(self.last.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// The gateway's address, without a slash at its end.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// All functions of a namespace. OpenFaaS leaves out `availableReplicas` here.
    ///
    /// # Errors
    /// Those of every call: unreachable, unauthorized, refused, cut.
    pub async fn functions(&self, namespace: Option<&str>) -> Result<Vec<FunctionStatus>> {
        let request = self.request(Method::GET, &["system", "functions"]).await?.query(&in_namespace(namespace));
        self.send(request, "can't list the functions").await?.accept("can't list the functions")?.list()
    }

    /// One function; with `usage`, also what it uses now.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none.
    pub async fn function(&self, name: &str, namespace: Option<&str>, usage: bool) -> Result<FunctionStatus> {
        let what = format!("can't describe {name}");
        let mut request =
            self.request(Method::GET, &["system", "function", name]).await?.query(&in_namespace(namespace));
        if usage {
            request = request.query(&[("usage", "1")]);
        }
        let answer = self.send(request, &what).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Err(no_function(name, namespace));
        }
        let answer = answer.accept(&what)?;
        let status: FunctionStatus = answer.json()?;
        if status.name.is_empty() {
            // Lists and empty objects pass for a function without anything.
            return Err(answer.unfit("it names no function"));
        }
        Ok(status)
    }

    /// Sends a deployment: `PUT` updates, `POST` creates. The answer is given back as it is, since what a refusal means
    /// depends on what the caller was about to do.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn deploy(&self, method: Method, deployment: &FunctionDeployment) -> Result<Answer> {
        let request = self.request(method, &["system", "functions"]).await?.json(deployment);
        self.send(request, &format!("can't deploy {}", deployment.service)).await
    }

    /// Removes a function; the answer is given back as it is.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn delete_function(&self, name: &str, namespace: Option<&str>) -> Result<Answer> {
        let body = DeleteFunction { function_name: name.into(), namespace: namespace.map(Into::into) };
        // The namespace goes both ways: some releases read the query, others the body.
        let request =
            self.request(Method::DELETE, &["system", "functions"]).await?.query(&in_namespace(namespace)).json(&body);
        self.send(request, &format!("can't remove {name}")).await
    }

    /// Sets the number of replicas.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    pub async fn scale_function(&self, name: &str, namespace: Option<&str>, replicas: u64) -> Result<()> {
        let what = format!("can't scale {name}");
        let body = ScaleFunction { service_name: name.into(), replicas, namespace: namespace.map(Into::into) };
        let request = self
            .request(Method::POST, &["system", "scale-function", name])
            .await?
            .query(&in_namespace(namespace))
            .json(&body);
        let answer = self.send(request, &what).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Err(no_function(name, namespace));
        }
        answer.accept(&what).map(drop)
    }

    /// Names of secrets.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn secrets(&self, namespace: Option<&str>) -> Result<Vec<Secret>> {
        let what = "can't list the secrets";
        let request = self.request(Method::GET, &["system", "secrets"]).await?.query(&in_namespace(namespace));
        self.send(request, what).await?.accept(what)?.list()
    }

    /// Sends a secret: `POST` creates, `PUT` updates, `DELETE` removes; the answer is given back as it is.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn secret(&self, method: Method, secret: &Secret) -> Result<Answer> {
        let verb = if method == Method::DELETE { "remove" } else { "write" };
        let request = self.request(method, &["system", "secrets"]).await?.json(secret);
        self.send(request, &format!("can't {verb} the secret {}", secret.name)).await
    }

    /// Names of namespaces.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn namespaces(&self) -> Result<Vec<String>> {
        let what = "can't list the namespaces";
        self.send(self.request(Method::GET, &["system", "namespaces"]).await?, what).await?.accept(what)?.list()
    }

    /// One namespace.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is none.
    pub async fn namespace(&self, name: &str) -> Result<FunctionNamespace> {
        let what = format!("can't read the namespace {name}");
        let answer = self.send(self.request(Method::GET, &["system", "namespace", name]).await?, &what).await?;
        answer.accept(&what)?.json()
    }

    /// Sends a namespace: `POST` creates, `PUT` updates, `DELETE` removes; the answer is given back as it is.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn change_namespace(&self, method: Method, namespace: &FunctionNamespace) -> Result<Answer> {
        // Creation is at `/system/namespace/`, everything else below it.
        let last = if method == Method::POST { "" } else { &namespace.name };
        let request = self.request(method, &["system", "namespace", last]).await?.json(namespace);
        self.send(request, &format!("can't change the namespace {}", namespace.name)).await
    }

    /// What the gateway and its provider tell about themselves.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn info(&self) -> Result<serde_json::Value> {
        let what = "can't read the gateway's versions";
        let answer = self.send(self.request(Method::GET, &["system", "info"]).await?, what).await?.accept(what)?;
        let info: serde_json::Value = answer.json()?;
        if info.is_object() { Ok(info) } else { Err(answer.unfit("it is no JSON object")) }
    }

    /// Whether the gateway itself answers; needs no login.
    ///
    /// # Errors
    /// When it doesn't, or not with success.
    pub async fn healthz(&self) -> Result<()> {
        let what = "the gateway isn't ready";
        self.send(self.request(Method::GET, &["healthz"]).await?, what).await?.accept(what).map(drop)
    }

    /// The gateway's clock, when it tells; an error when nobody answers there. Needs no login.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn date(&self) -> Result<Option<jiff::Timestamp>> {
        let url = address::below(&self.base, &["healthz"])?;
        let sent = self.system()?.get(url).timeout(self.options.timeout).send().await;
        let response = sent.map_err(|e| trouble::unanswered(self, "the gateway does not answer", &e))?;
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp()))
    }

    /// What calls show to be let in.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.shown.get()
    }

    /// Whether it is reached by https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether its certificate is checked.
    #[must_use]
    pub fn verifies_tls(&self) -> bool {
        self.options.verify_tls
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        address::is_loopback(&self.base)
    }

    /// A token that lets a function be called, for the token of the login: OpenFaaS's exchange for functions that want
    /// one. As the value of `Authorization`.
    ///
    /// # Errors
    /// A login that is no token; those of every call.
    pub async fn function_token(&self, namespace: &str, name: &str) -> Result<http::HeaderValue> {
        let what = format!("can't exchange the token for {name}");
        self.shown.renew().await?;
        let Auth::Bearer(token) = &self.auth() else {
            return Err(Fault::unauthorized(what)
                .cause("the login is no token")
                .hint("pass one with --token, or log in with one"));
        };
        let exchanged = exchange::send(self, token, Some(&format!("{namespace}:{name}")), &what).await?;
        exchange::header(&exchanged, what)
    }

    /// A token of the gateway for one of an identity provider; `None` when this gateway exchanges none.
    ///
    /// # Errors
    /// Those of every call, and when the gateway doesn't take the token.
    pub async fn exchange(&self, token: &SecretString) -> Result<Option<Exchanged>> {
        match exchange::send(self, token, None, "the gateway does not take the token").await {
            Ok(exchanged) => Ok(Some(exchanged)),
            Err(fault) if fault.kind == crate::error::Kind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// A function's log, as it comes.
    ///
    /// # Errors
    /// Those of every call; an entry that can't be read is an error in the stream.
    pub async fn logs(
        &self,
        query: &LogsRequest,
    ) -> Result<impl Stream<Item = Result<LogMessage>> + Send + 'static + use<>> {
        logs::open(self, query).await
    }

    /// Calls a function and gives the answer back as it comes, whatever its status.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, function: &str, asynchronous: bool, request: Request) -> Result<Response> {
        call::send(self, function, asynchronous, request).await
    }

    /// A `/system` call, with what lets it in.
    async fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder> {
        self.shown.renew().await?;
        let url = address::below(&self.base, path)?;
        let request = self.system()?.request(method, url).timeout(self.options.timeout);
        Ok(match self.auth() {
            Auth::None => request,
            Auth::Basic { user, password } => request.basic_auth(user, Some(password.expose_secret())),
            Auth::Bearer(token) => request.bearer_auth(token.expose_secret()),
        })
    }

    /// Sends a call and reads its answer whole; "too many requests" is tried again as the gateway asks.
    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Answer> {
        let mut attempt = 0;
        let told = |request: &RequestBuilder| {
            // Only when somebody reads it: the request is made a second time.
            let shown = tracing::enabled!(tracing::Level::DEBUG).then(|| request.try_clone()?.build().ok()).flatten();
            shown.map(|request| format!("{} {}", request.method(), request.url()))
        };
        let (shown, started) = (told(&request), std::time::Instant::now());
        loop {
            let again = request.try_clone();
            let sent = match again {
                Some(copy) => copy.send().await,
                None => return Err(Fault::failed(what).cause("the request can't be sent twice")),
            };
            let response = sent.map_err(|e| trouble::unanswered(self, what, &e))?;
            if let Some(shown) = &shown {
                tracing::debug!("{shown}: {} after {:.0?}", response.status(), started.elapsed());
            }
            if response.status() == http::StatusCode::TOO_MANY_REQUESTS && attempt < BUSY_RETRIES {
                attempt += 1;
                let wait = answer::wait(response.headers(), attempt);
                if wait <= LONGEST_WAIT {
                    if wait >= NOTICED {
                        let wait = humantime::format_duration(wait);
                        self.options.listener.tell(&format!("the gateway is busy; it is asked again in {wait}"));
                    }
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            self.last.store(response.status().as_u16(), Ordering::Relaxed);
            return answer::read(self, response, what).await;
        }
    }

    /// Redirects are not followed: a login must not be led elsewhere.
    fn system(&self) -> Result<&reqwest::Client> {
        once(&self.system, || self.build(reqwest::redirect::Policy::none()))
    }

    /// Redirects are followed as faas-cli does, but not into TLS that this client has no certificates for.
    fn relay(&self) -> Result<&reqwest::Client> {
        let plain = self.base.scheme() == "http";
        once(&self.relay, || {
            self.build(reqwest::redirect::Policy::custom(move |attempt| {
                if !follows(plain, attempt.url()) || attempt.previous().len() > 10 {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            }))
        })
    }

    /// Whether a redirect to there is followed.
    fn may_follow(&self, to: &Url) -> bool {
        follows(self.base.scheme() == "http", to)
    }

    fn build(&self, redirects: reqwest::redirect::Policy) -> Result<reqwest::Client> {
        install_tls();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("faas/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects)
            .connect_timeout(Duration::from_secs(10))
            // As Go writes them, for functions that take the case of a header's name seriously.
            .http1_title_case_headers()
            // A relayed body is passed on as the function wrote it.
            .no_gzip();
        if self.base.scheme() == "http" {
            // Loading the system's certificates takes longer than the whole of a small call.
            builder = builder.tls_certs_only([]);
        } else if !self.options.verify_tls {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if !self.options.trusted.is_empty() {
            builder = builder.tls_backend_preconfigured(trust::config(&self.options.trusted)?);
        }
        if address::is_loopback(&self.base) {
            builder = builder.no_proxy();
        }
        builder.build().or_fault(|| "can't make an HTTP client".into())
    }
}

fn once(cell: &OnceLock<reqwest::Client>, make: impl FnOnce() -> Result<reqwest::Client>) -> Result<&reqwest::Client> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    let client = make()?;
    Ok(cell.get_or_init(|| client))
}

/// A client of plain HTTP has no certificates to check others by.
fn follows(plain: bool, to: &Url) -> bool {
    to.scheme() == "http" || to.scheme() == "https" && !plain
}

fn in_namespace(namespace: Option<&str>) -> Vec<(&'static str, &str)> {
    namespace.map(|ns| ("namespace", ns)).into_iter().collect()
}

fn no_function(name: &str, namespace: Option<&str>) -> Fault {
    let place = namespace.map(|ns| format!(" in the namespace {ns}")).unwrap_or_default();
    Fault::not_found(format!("there is no function {name}{place}"))
        .code(Code::NO_FUNCTION)
        .hint("`faas list` shows what is deployed")
}

/// Chooses the TLS provider of the whole process; needed before any HTTP client is made, harmless when repeated.
pub fn install_tls() {
    // An error means that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
