//! The registry of backends: one line each, and how the platform that a command means is opened.
use std::sync::Arc;
use std::time::Duration;

use super::session::{GatewayFlags, Place};
use crate::backend::Backend;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::stack::{ProviderKind, Stack};

/// Everything that tells which platform is meant, and where it is.
struct Meant<'a> {
    context: &'a Context,
    flags: &'a GatewayFlags,
    stack: Option<&'a Stack>,
    gateway: &'a str,
    wait: Duration,
}

type Open = fn(&Meant<'_>) -> Result<Arc<dyn Backend>>;

const ALL: &[(ProviderKind, Open)] = &[
    #[cfg(feature = "knative")]
    (ProviderKind::Knative, |meant| Ok(Arc::new(knative_of(meant)?))),
    #[cfg(feature = "local")]
    (ProviderKind::Local, local),
    #[cfg(feature = "openfaas")]
    (ProviderKind::OpenFaas, openfaas),
    #[cfg(feature = "lambda")]
    (ProviderKind::Lambda, |meant| {
        let written = meant.stack.map_or(&serde_json::Value::Null, |stack| &stack.provider.lambda);
        Ok(Arc::new(lambda(meant.context, meant.flags, written)?))
    }),
];

/// The backends of this build, by their names in the stack file.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(kind, _)| kind.as_str()).collect()
}

/// The platform that flags, environment and stack file mean; what is applied is waited for at most `wait`.
///
/// # Errors
/// Settings that can't be read; a provider that this build has not.
pub fn open(
    context: &Context,
    flags: &GatewayFlags,
    stack: Option<&Stack>,
    wait: Duration,
) -> Result<Arc<dyn Backend>> {
    let place = Place::find(context, flags, stack);
    let Some((_, open)) = ALL.iter().find(|(kind, _)| *kind == place.kind) else {
        let fault = Fault::unsupported(format!("provider `{}` is not in this build of faas", place.kind.as_str()));
        return Err(fault.hint("`faas version` lists the backends that it has"));
    };
    open(&Meant { context, flags, stack, gateway: &place.gateway, wait })
}

#[cfg(feature = "local")]
fn local(meant: &Meant<'_>) -> Result<Arc<dyn Backend>> {
    use crate::backend::local::{Local, TIMEOUT};
    let client = super::session::client(meant.context, meant.flags, meant.gateway, TIMEOUT.max(2 * meant.wait))?;
    Ok(Arc::new(Local::new(client.embedded(), meant.wait)))
}

#[cfg(feature = "openfaas")]
fn openfaas(meant: &Meant<'_>) -> Result<Arc<dyn Backend>> {
    // A gateway answers when the image is there, and a large one takes its time.
    let timeout = crate::wire::client::Options::default().timeout.max(meant.wait);
    let client = super::session::client(meant.context, meant.flags, meant.gateway, timeout)?;
    Ok(Arc::new(crate::backend::openfaas::OpenFaas::new(client, meant.wait)))
}

/// The AWS account and region that `written` (`provider.lambda`), environment and profile name.
///
/// # Errors
/// Settings that can't be read.
#[cfg(feature = "lambda")]
pub fn lambda(
    context: &Context,
    flags: &GatewayFlags,
    written: &serde_json::Value,
) -> Result<crate::backend::lambda::Lambda> {
    use crate::backend::lambda::{Lambda, Settings};
    let settings = Settings { ask_code: Some(super::mfa::ask(context, flags)), ..Settings::read(written)? };
    Ok(Lambda::new(settings))
}

/// The cluster that flags and environment name, without any stack file.
///
/// # Errors
/// Settings that can't be read.
#[cfg(feature = "knative")]
pub fn knative(context: &Context, flags: &GatewayFlags) -> Result<crate::backend::knative::Knative> {
    knative_of(&Meant { context, flags, stack: None, gateway: "", wait: Duration::ZERO })
}

#[cfg(feature = "knative")]
fn knative_of(meant: &Meant<'_>) -> Result<crate::backend::knative::Knative> {
    use crate::backend::knative::{Knative, Settings};
    use crate::listener::Listener;
    let Meant { context, flags, .. } = meant;
    let env = |name: &str| context.env.get(name).map(str::to_owned);
    let none = serde_json::Value::Null;
    let (provider, root) = match meant.stack {
        Some(stack) => (&stack.provider.knative, stack.origin.root.as_path()),
        None => (&none, context.cwd.as_path()),
    };
    let mut settings = Settings::new(provider, &env, &context.dirs.home, root, meant.wait)?;
    if let Some(path) = &flags.kubeconfig {
        settings.only_kubeconfig(context.absolute(path));
    }
    settings.context = flags.context.clone().filter(|name| !name.is_empty()).or(settings.context);
    let out = context.out.clone();
    settings.listener = Listener::new(move |words| out.note(words));
    settings.attended = context.out.may_ask();
    settings.impersonate = flags.as_user.clone().map(|user| (user, flags.as_groups.clone()));
    Ok(Knative::new(settings))
}
