//! Which stack and which platform a command works with: from flags, environment, stack file and what runs here.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::several::USUAL;
use super::{Global, backends, compat, stack_file};
use crate::backend::Backend;
use crate::context::Context;
use crate::error::{Code, Fault, Result};
use crate::function::{Function, FunctionId};
use crate::listener::Listener;
use crate::output::Dialect;
use crate::stack::{ProviderKind, Stack};
use crate::wire::client::{Auth, Client, Options};

pub(super) mod saved;

/// The gateway's address where nothing names another.
pub const DEFAULT_GATEWAY: &str = "http://127.0.0.1:8080";

/// What help says above them.
const PLATFORM: &str = "Platform options";

/// Flags of every command that talks to a platform.
#[derive(Args, Clone, Default)]
pub struct GatewayFlags {
    /// The gateway's address [default: for provider local, where it runs; else OPENFAAS_URL, else the stack's, else
    /// http://127.0.0.1:8080]
    #[arg(help_heading = PLATFORM, short, long, value_name = "URL")]
    pub gateway: Option<String>,
    /// Don't verify the gateway's certificate
    #[arg(help_heading = PLATFORM, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub tls_no_verify: bool,
    /// A file of certificates (PEM) to trust besides the system's, as of a private CA [default: FAAS_TLS_CA]
    #[arg(help_heading = PLATFORM, long, value_name = "FILE", conflicts_with = "tls_no_verify")]
    pub tls_ca: Option<PathBuf>,
    /// A token (JWT) to use instead of the saved login; other users of this machine can see it [default: FAAS_TOKEN]
    #[arg(help_heading = PLATFORM, short = 'k', long, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The namespace [default: OPENFAAS_NS, else the platform's]
    #[arg(help_heading = PLATFORM, short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Knative: the context of the kubeconfig [default: FAAS_KNATIVE_CONTEXT, else the stack's, else its current one]
    #[arg(help_heading = PLATFORM, long, value_name = "NAME")]
    pub context: Option<String>,
    /// Knative: the kubeconfig [default: the stack's, else KUBECONFIG, else ~/.kube/config]
    #[arg(help_heading = PLATFORM, long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Lambda: the code of the MFA device that the AWS profile asks for [default: FAAS_MFA_CODE, else you are asked]
    #[arg(help_heading = PLATFORM, long, value_name = "CODE")]
    pub mfa_code: Option<String>,
    /// Knative: act as this user, as `kubectl --as` does
    #[arg(help_heading = PLATFORM, long = "as", value_name = "USER")]
    pub as_user: Option<String>,
    /// Knative: and as a member of this group; may be repeated
    #[arg(help_heading = PLATFORM, long = "as-group", value_name = "GROUP", requires = "as_user")]
    pub as_groups: Vec<String>,
}

/// The stack, where there is one, and the platform.
pub struct Session {
    /// The stack file, where there is one.
    pub stack: Option<Stack>,
    /// The platform.
    pub backend: Arc<dyn Backend>,
    /// It is the embedded platform before its first start, which has nothing and answers nothing.
    pub unborn: bool,
    /// `--namespace`.
    given_namespace: Option<String>,
    /// `OPENFAAS_NS`.
    default_namespace: Option<String>,
}

impl Session {
    /// For commands that work with or without a stack file.
    ///
    /// # Errors
    /// A stack file that is wrong; a provider that this build has not.
    pub fn open(context: &Context, global: &Global, flags: &GatewayFlags) -> Result<Self> {
        Self::running(context, flags, stack_file::load(context, global)?)
    }

    /// As [`Session::open`], for commands that take no more from the stack file than which platform it is for. One that is
    /// wrong doesn't stop them where faas-cli's users call them.
    ///
    /// # Errors
    /// The same.
    pub fn beside(context: &Context, global: &Global, flags: &GatewayFlags) -> Result<Self> {
        let without = compat::ways::goes_on_without_stack(context.out.dialect);
        let stack = match stack_file::load(context, global) {
            Err(fault) if without => {
                context.out.warn(format_args!("goes on without the stack file: {}", fault.message));
                None
            }
            loaded => loaded?,
        };
        Self::running(context, flags, stack)
    }

    /// With a platform that has to be there already.
    fn running(context: &Context, flags: &GatewayFlags, stack: Option<Stack>) -> Result<Self> {
        must_run(context, flags, stack.as_ref())?;
        Self::with(context, flags, stack, Duration::ZERO)
    }

    /// For commands that need a stack file.
    ///
    /// # Errors
    /// The same, and no stack file.
    pub fn of_stack(context: &Context, global: &Global, flags: &GatewayFlags) -> Result<Self> {
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        Self::with(context, flags, Some(stack), Duration::ZERO)
    }

    /// For a stack that is loaded already; what is applied is waited for at most `wait`, zero doesn't wait.
    ///
    /// # Errors
    /// A provider that this build has not.
    pub fn with(context: &Context, flags: &GatewayFlags, stack: Option<Stack>, wait: Duration) -> Result<Self> {
        tell_other(context, flags, stack.as_ref());
        let backend = backends::open(context, flags, stack.as_ref(), wait)?;
        let default_namespace = context.env.get("OPENFAAS_NS").map(Into::into);
        let given_namespace = flags.namespace.clone().filter(|name| !name.is_empty());
        Ok(Self { stack, backend, unborn: false, given_namespace, default_namespace })
    }

    /// For commands that deploy: as [`Session::with`], and the embedded platform is started when it is meant.
    ///
    /// # Errors
    /// The same, and an embedded platform that can't be started.
    pub fn for_deploy(
        context: &Context,
        flags: &GatewayFlags,
        stack: Option<Stack>,
        wait: Duration,
        deploys: bool,
    ) -> Result<Self> {
        if deploys {
            start(context, flags, stack.as_ref())?;
        }
        Self::with(context, flags, stack, wait)
    }

    /// For commands that say what a deployment would do: as [`Session::with`], and an embedded platform that was never
    /// started has nothing yet.
    ///
    /// # Errors
    /// The same, and an embedded platform that doesn't run and may have functions that come back with it.
    pub fn for_plan(context: &Context, flags: &GatewayFlags, stack: Option<Stack>, wait: Duration) -> Result<Self> {
        let unborn = is_unborn(context);
        if !unborn {
            must_run(context, flags, stack.as_ref())?;
        }
        let unborn = unborn && is_stopped(context, flags, stack.as_ref());
        let session = Self { unborn, ..Self::with(context, flags, stack, wait)? };
        if unborn {
            // It is born with one namespace, and what goes into another has to wait for that.
            let elsewhere = |function: &Function| function.namespace.as_deref().is_some_and(|name| name != USUAL);
            if session.functions().iter().any(elsewhere) {
                must_run(context, flags, session.stack.as_ref())?;
            }
            context.out.note("the embedded platform does not run: `faas up` starts it");
        }
        Ok(session)
    }

    /// The namespace that commands without a function work in.
    #[must_use]
    pub fn namespace(&self) -> Option<String> {
        self.given_namespace.clone().or_else(|| self.default_namespace.clone())
    }

    /// A function named at the prompt: `name` or `name.namespace`, its namespace by flag, name, stack, environment.
    #[must_use]
    pub fn id(&self, name: &str) -> FunctionId {
        let (name, in_name) = match name.split_once('.') {
            Some((name, namespace)) => (name, Some(namespace.to_owned())),
            None => (name, None),
        };
        let in_stack = self.stack.as_ref().and_then(|stack| stack.function(name)).and_then(|f| f.namespace.clone());
        let namespace =
            self.given_namespace.clone().or(in_name).or(in_stack).or_else(|| self.default_namespace.clone());
        FunctionId { name: name.into(), namespace }
    }

    /// As [`Session::id`], of a name that can be one.
    ///
    /// # Errors
    /// A usage fault when no platform could have a function of that name.
    pub fn named(&self, name: &str) -> Result<FunctionId> {
        let id = self.id(name);
        for (part, what) in [(Some(&id.name), "function"), (id.namespace.as_ref(), "namespace")] {
            let fits = |text: &String| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                !text.is_empty() && text.bytes().all(plain)
            };
            if let Some(part) = part.filter(|part| !fits(part)) {
                let fault = Fault::usage(format!("`{}` can't be a {what}'s name", part.escape_debug()));
                return Err(fault.hint("as in `tax`, or `tax.staging` for the one in the namespace staging"));
            }
        }
        Ok(id)
    }

    /// The functions of the stack, each with the namespace that counts.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let functions = self.stack.iter().flat_map(|stack| stack.functions.iter().cloned());
        functions.map(|f| Function { namespace: self.id(&f.name).namespace, ..f }).collect()
    }
}

/// A platform and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The platform.
    pub kind: ProviderKind,
    /// The gateway's address.
    pub gateway: String,
}

impl Place {
    /// By flag, environment, stack, what runs here, default; in this order. `OPENFAAS_URL` does not turn a `local`
    /// stack into a remote one.
    #[must_use]
    pub fn find(context: &Context, flags: &GatewayFlags, stack: Option<&Stack>) -> Self {
        let running = running(context);
        let given = flags.gateway.clone().or_else(|| {
            let local = stack.is_some_and(|stack| stack.provider.kind == ProviderKind::Local);
            context.env.get("OPENFAAS_URL").filter(|_| !local).map(Into::into)
        });
        // Whatever name is used for it, what is asked is the address where the embedded platform is known to listen: its
        // token goes nowhere else.
        let given = given.map(|given| match &running {
            Some(running) if is_same(&given, running) => running.clone(),
            _ => given,
        });
        let in_stack = stack.and_then(|stack| stack.provider.gateway.clone());
        let kind = match stack {
            Some(stack) => stack.provider.kind,
            // Without a stack, what runs here is meant, unless an address says otherwise.
            None if is_knative(context, flags) => ProviderKind::Knative,
            None if running.is_some() && (given.is_none() || given == running) => ProviderKind::Local,
            None => ProviderKind::OpenFaas,
        };
        // There is one embedded platform: where it runs counts more than where the stack would start it.
        let here = running.filter(|_| kind == ProviderKind::Local);
        let gateway = given.or(here).or(in_stack).unwrap_or_else(|| DEFAULT_GATEWAY.into());
        Self { kind, gateway: gateway.trim().trim_end_matches('/').to_owned() }
    }
}

/// Whether a cluster is named without any stack file: by flags, or by variables that mean nothing else.
fn is_knative(context: &Context, flags: &GatewayFlags) -> bool {
    const NAMES: [&str; 3] = ["FAAS_KNATIVE_CONTEXT", "FAAS_KNATIVE_INGRESS", "FAAS_KNATIVE_NAMESPACE"];
    let flagged = flags.context.is_some() || flags.kubeconfig.is_some() || flags.as_user.is_some();
    let set = |name: &&str| context.env.get(name).is_some_and(|value| !value.is_empty());
    flagged || flags.gateway.is_none() && NAMES.iter().any(set)
}

/// Whether an address is another way to write that of the embedded platform, which listens on this machine alone.
/// `localhost` is either of its two; an address in numbers is only itself.
fn is_same(given: &str, running: &str) -> bool {
    let parsed = |text: &str| crate::wire::client::parse_address(text).ok();
    // With a login of its own it is meant to be asked with that.
    let (Some((given, None)), Some((running, _))) = (parsed(given), parsed(running)) else { return false };
    let host = running.host_str().unwrap_or_default();
    let is_loopback = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let named = given.host_str() == Some(host) || given.host_str() == Some("localhost");
    let rest = |url: &url::Url| (url.scheme().to_owned(), url.port_or_known_default(), url.path().to_owned());
    is_loopback && named && rest(&given) == rest(&running)
}

/// Says which gateway is meant where `OPENFAAS_URL`, which nobody sees, wins over the one that the stack file names.
fn tell_other(context: &Context, flags: &GatewayFlags, stack: Option<&Stack>) {
    let Some(stack) = stack.filter(|stack| stack.provider.kind == ProviderKind::OpenFaas) else { return };
    let (Some(meant), Some(written)) = (context.env.get("OPENFAAS_URL"), &stack.provider.gateway) else { return };
    // Without a login that it may have.
    let plain = |address: &str| crate::wire::client::parse_address(address).ok().map(|(url, _)| url);
    let (Some(meant), Some(written)) = (plain(meant), plain(written)) else { return };
    if flags.gateway.is_none() && meant != written && context.out.dialect == Dialect::Faas {
        let (meant, written) = (meant.as_str().trim_end_matches('/'), written.as_str().trim_end_matches('/'));
        let file = &stack.origin.name;
        context.out.note(format_args!("gateway: {meant}, by OPENFAAS_URL; {file} says {written}"));
    }
}

/// The address of the gateway that the flags, the environment and the stack mean.
///
/// # Errors
/// A stack file that is wrong.
pub fn gateway(context: &Context, global: &Global, flags: &GatewayFlags) -> Result<String> {
    let stack = if flags.gateway.is_some() { None } else { stack_file::load(context, global)? };
    Ok(Place::find(context, flags, stack.as_ref()).gateway)
}

#[cfg(feature = "local")]
fn start(context: &Context, flags: &GatewayFlags, stack: Option<&Stack>) -> Result<()> {
    let place = Place::find(context, flags, stack);
    if place.kind != ProviderKind::Local {
        return Ok(());
    }
    let was = running(context);
    let now = crate::runtime::block_on(crate::gateway::ensure_started(&context.dirs, &place.gateway))?;
    if was.is_none() {
        context.out.note(format_args!("the embedded platform runs at {}", now.url));
    }
    Ok(())
}

/// Refuses to take whatever else listens on the default address for the embedded platform.
pub(super) fn must_run(context: &Context, flags: &GatewayFlags, stack: Option<&Stack>) -> Result<()> {
    if is_stopped(context, flags, stack) {
        return Err(Fault::not_found("the embedded platform does not run")
            .code(Code::LOCAL_STOPPED)
            .hint("`faas up` and `faas deploy` start it, and so does `faas local start`"));
    }
    Ok(())
}

/// Whether the embedded platform is meant, and doesn't run.
#[cfg(feature = "local")]
fn is_stopped(context: &Context, flags: &GatewayFlags, stack: Option<&Stack>) -> bool {
    let local = Place::find(context, flags, stack).kind == ProviderKind::Local;
    local && flags.gateway.is_none() && running(context).is_none()
}

#[cfg(not(feature = "local"))]
fn is_stopped(_: &Context, _: &GatewayFlags, _: Option<&Stack>) -> bool {
    false
}

#[cfg(feature = "local")]
fn is_unborn(context: &Context) -> bool {
    !crate::gateway::has_state(&context.dirs)
}

#[cfg(not(feature = "local"))]
fn is_unborn(_: &Context) -> bool {
    false
}

#[cfg(not(feature = "local"))]
fn start(_: &Context, _: &GatewayFlags, _: Option<&Stack>) -> Result<()> {
    Ok(())
}

#[cfg(feature = "local")]
fn running(context: &Context) -> Option<String> {
    crate::gateway::running(&context.dirs).map(|running| running.url)
}

#[cfg(not(feature = "local"))]
fn running(_: &Context) -> Option<String> {
    None
}

/// A client with the login that fits the address: a token from the flag, the embedded platform's own, a saved one.
pub(super) fn client(context: &Context, flags: &GatewayFlags, gateway: &str, timeout: Duration) -> Result<Client> {
    if flags.token.is_some() {
        super::password::in_arguments(context, "--token", "FAAS_TOKEN");
    }
    let (auth, renewal) = match flags.token.as_deref().or_else(|| context.env.get("FAAS_TOKEN")) {
        Some(token) => (Auth::Bearer(SecretString::from(token)), None),
        // One that the address itself has is what is meant; the client takes it from there.
        None if crate::wire::client::parse_address(gateway).is_ok_and(|(_, login)| login.is_some()) => {
            (Auth::None, None)
        }
        None => match own_token(context, gateway)? {
            Some(password) => (Auth::Basic { user: "admin".into(), password }, None),
            None => saved::auth(context, flags, gateway)?,
        },
    };
    Client::new(gateway, Options { auth, renewal, timeout, ..tls(context, flags)? })
}

/// Which certificates of gateways are trusted, by flags and environment.
///
/// # Errors
/// A file of certificates that can't be read, or holds none.
pub fn tls(context: &Context, flags: &GatewayFlags) -> Result<Options> {
    let variable = || context.env.get("FAAS_TLS_CA").filter(|path| !path.is_empty()).map(PathBuf::from);
    let file = flags.tls_ca.clone().or_else(variable).filter(|_| !flags.tls_no_verify);
    let trusted = match file {
        Some(path) => crate::wire::client::trust::certificates(&context.absolute(&path))?,
        None => Vec::new(),
    };
    let out = context.out.clone();
    let listener = Listener::new(move |line| out.note(line));
    Ok(Options { verify_tls: !flags.tls_no_verify, trusted, listener, ..Options::default() })
}

#[cfg(feature = "local")]
fn own_token(context: &Context, gateway: &str) -> Result<Option<SecretString>> {
    match running(context) {
        Some(url) if url == gateway => {
            crate::gateway::ensure_awake(&context.dirs)?;
            crate::gateway::token(&context.dirs).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(not(feature = "local"))]
fn own_token(_: &Context, _: &str) -> Result<Option<SecretString>> {
    Ok(None)
}
