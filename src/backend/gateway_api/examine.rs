//! What `faas doctor` looks at in a gateway: does it answer, is the way to it safe, does it know the login, and is it of
//! the same time as we are.
use std::time::Duration;

use super::GatewayApi;
use crate::backend::Finding;
use crate::error::Kind;
use crate::finding;
use crate::wire::client::Auth;

/// Clocks further apart than this make tokens and certificates invalid.
const APART: Duration = Duration::from_secs(60);

/// Looks at all of it.
pub async fn examine(api: &GatewayApi) -> Vec<Finding> {
    let client = &api.client;
    let mut date = None;
    let reached = finding::look("gateway", finding::LIMIT, async {
        date = client.date().await?;
        Ok(Finding::ok("gateway", format!("answers at {}", client.address())))
    })
    .await;
    let answers = reached.state == finding::State::Ok;
    let mut all = vec![reached];
    if !answers {
        return all;
    }
    all.extend(way(api));
    all.extend(date.map(|theirs| clock(theirs, jiff::Timestamp::now())));
    let login = finding::look("login", finding::LIMIT, async {
        match api.info().await {
            Ok(info) => {
                let who = match client.auth() {
                    Auth::None => "it asks for no login".to_owned(),
                    Auth::Basic { user, .. } => format!("it knows {user}"),
                    Auth::Bearer(_) => "it takes the token".to_owned(),
                };
                Ok(Finding::ok("login", format!("{who}: {}", info.said())))
            }
            Err(fault) if fault.kind == Kind::Unauthorized => {
                let finding = Finding::of_fault("login", &fault);
                Ok(finding.hint(format!("faas login --gateway {}", client.address())))
            }
            Err(fault) => Err(fault),
        }
    })
    .await;
    all.push(login);
    all
}

/// Whether somebody in between can read the login.
fn way(api: &GatewayApi) -> Option<Finding> {
    let (client, about) = (&api.client, "TLS");
    if !client.is_tls() {
        let open = !client.is_loopback() && !matches!(client.auth(), Auth::None);
        let found = format!("the login goes to {} without encryption", client.address());
        return open.then(|| Finding::warning(about, found).hint("use an https address, or a tunnel to the gateway"));
    }
    Some(if client.verifies_tls() {
        Finding::ok(about, "the gateway's certificate is valid")
    } else {
        Finding::warning(about, "the gateway's certificate is not verified (--tls-no-verify)")
            .hint("have its authority in the system's certificates, and leave the flag out")
    })
}

fn clock(theirs: jiff::Timestamp, ours: jiff::Timestamp) -> Finding {
    let apart = ours.duration_since(theirs).unsigned_abs();
    if apart <= APART {
        return Finding::ok("clock", "agrees with the gateway's");
    }
    let which = if ours > theirs { "ahead of" } else { "behind" };
    let found = format!("{} s {which} the gateway's", apart.as_secs());
    Finding::warning("clock", found)
        .hint("let NTP set the clock of this machine, or of the gateway's: tokens hang on it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
        assert_eq!(clock(at(1000), at(1030)).state, State::Ok);
        assert_eq!(clock(at(1000), at(1100)).found, "100 s ahead of the gateway's");
        assert_eq!(clock(at(1000), at(900)).found, "100 s behind the gateway's");
    }
}
