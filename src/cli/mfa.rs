//! The code of an MFA device, for AWS profiles that want one: from a flag, the environment or the person at the terminal.
use std::io::IsTerminal;

use secrecy::SecretString;

use super::session::GatewayFlags;
use crate::backend::lambda::AskCode;
use crate::context::Context;
use crate::error::Fault;

/// How the code is got, should one be wanted.
pub fn ask(context: &Context, flags: &GatewayFlags) -> AskCode {
    let given = flags.mfa_code.clone().or_else(|| context.env.get("FAAS_MFA_CODE").map(str::to_owned));
    AskCode::new(move |profile, device| {
        if let Some(code) = &given {
            return Ok(SecretString::from(code.clone()));
        }
        if !std::io::stderr().is_terminal() {
            return Err(Fault::unauthorized(format!(
                "the profile `{profile}` wants a code of the MFA device {device}"
            ))
            .hint("pass --mfa-code CODE, set FAAS_MFA_CODE, or run it in a terminal; a session is kept for later"));
        }
        super::hidden::ask(format!("MFA code of {device}"))
    })
}
