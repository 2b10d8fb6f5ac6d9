//! `faas rollout`: shares of traffic between the revisions of a function.
use std::time::Duration;

use clap::{Args, Subcommand};

use super::session::{GatewayFlags, Session};
use super::values::duration;
use super::{Global, stack_file};
use crate::backend::{Revision, Traffic};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::output::detail;

mod pause;
mod promote;
mod restore;
mod resume;
mod set;
mod status;
mod undo;

/// Move traffic between the revisions of a function
#[derive(Args)]
pub struct Rollout {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pause(pause::Pause),
    Promote(promote::Promote),
    Resume(resume::Resume),
    Set(set::Set),
    Status(status::Status),
    Undo(undo::Undo),
}

impl Rollout {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self.command {
            Command::Pause(command) => command.run(context, global),
            Command::Promote(command) => command.run(context, global),
            Command::Resume(command) => command.run(context, global),
            Command::Set(command) => command.run(context, global),
            Command::Status(command) => command.run(context, global),
            Command::Undo(command) => command.run(context, global),
        }
    }
}

/// Which function, and where.
#[derive(Args)]
pub struct Target {
    /// The function
    name: String,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// How long to wait until the new shares are in force; 0 doesn't wait
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

/// A function on a platform that has revisions.
pub struct Open {
    session: Session,
    /// The function.
    pub id: FunctionId,
}

impl Target {
    /// Finds the platform.
    ///
    /// # Errors
    /// A stack file that is wrong, or a platform without revisions.
    pub fn open(&self, context: &Context, global: &Global) -> Result<Open> {
        let (session, id) = self.session(context, global)?;
        let open = Open { id, session };
        open.traffic()?;
        Ok(open)
    }

    /// The same on any platform.
    ///
    /// # Errors
    /// A stack file that is wrong.
    pub fn session(&self, context: &Context, global: &Global) -> Result<(Session, FunctionId)> {
        let stack = stack_file::load(context, global)?;
        let session = Session::with(context, &self.gateway, stack, self.timeout)?;
        let id = session.named(&self.name)?;
        Ok((session, id))
    }
}

impl Open {
    /// Its revisions and their shares.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unsupported`] when the platform has none.
    pub fn traffic(&self) -> Result<&dyn Traffic> {
        let capabilities = self.session.backend.capabilities();
        capabilities.require("canary and rollback", capabilities.traffic)?;
        self.session
            .backend
            .traffic()
            .ok_or_else(|| Fault::unsupported(format!("provider `{}` has no revisions", capabilities.provider)))
    }

    /// Prints what is in force now.
    ///
    /// # Errors
    /// When the platform can't be asked.
    pub async fn report(&self, context: &Context) -> Result<()> {
        let traffic = self.traffic()?;
        if traffic.paused(&self.id).await? {
            context.out.note(format_args!("The rollout of {} is paused: `faas rollout resume` ends that.", self.id));
        }
        let revisions = traffic.revisions(&self.id).await?;
        let serving: Vec<_> = revisions.into_iter().filter(|r| r.share > 0 || !r.tags.is_empty()).collect();
        context.out.result(&serving, || detail::revisions(&serving))
    }
}

/// Traffic isn't moved while the rollout is paused.
fn paused(open: &Open) -> Fault {
    Fault::failed(format!("the rollout of {} is paused: the traffic stays where it is", open.id))
        .hint(format!("`faas rollout resume {}` ends that", open.id))
}

/// A revision as the user wrote it: its name, what comes after the function's name in it, a tag, or its number.
fn resolve<'a>(id: &FunctionId, revisions: &'a [Revision], given: &str) -> Result<&'a Revision> {
    let long = format!("{}-{given}", id.name);
    let named = revisions.iter().find(|r| r.name == given || r.name == long);
    let tagged = || revisions.iter().find(|r| r.tags.contains_key(given));
    // `2` and `v2` are `tax-00002`.
    let numbered = || {
        let wanted = given.strip_prefix('v').unwrap_or(given).parse().ok()?;
        revisions.iter().find(|r| id.number_of(&r.name) == Some(wanted))
    };
    named.or_else(tagged).or_else(numbered).ok_or_else(|| {
        let tags = revisions.iter().flat_map(|r| r.tags.keys().map(String::as_str));
        let names: Vec<_> = revisions.iter().map(|r| r.name.as_str()).chain(tags).collect();
        let hint = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
        Fault::not_found(format!("{id} has no revision {given}")).hint(hint)
    })
}
