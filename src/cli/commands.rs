//! The commands by name: each is one file, and one entry here.
use clap::{Args, FromArgMatches};

use super::{
    Global, build, cache, completion, deploy, describe, info, invoke, list, login, logout, logs, namespace, new, plan,
    ready, remove, revisions, rollout, scale, secret, store, template, up, validate, version,
};
use crate::context::Context;
use crate::error::Result;

/// A command as the command line knows it before any of its flags are made, which is most of the work of starting.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it does, in a line.
    pub(super) about: &'static str,
    pub(super) augment: fn(clap::Command) -> clap::Command,
}

impl Entry {
    /// The command with all its flags.
    pub fn whole(&self) -> clap::Command {
        taking_any_value((self.augment)(clap::Command::new(self.name)))
    }

    /// The command without its flags, for lists of commands.
    pub fn stub(&self) -> clap::Command {
        let hidden = ["bashcompletion", "namespaces", "print-token", "pro"].contains(&self.name);
        clap::Command::new(self.name).about(self.about).visible_aliases(self.aliases.iter().copied()).hide(hidden)
    }

    /// Whether it goes by this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// As with Go's flags, the word after one is its value, whatever it begins with: keys begin with dashes, and passwords may.
pub fn taking_any_value(command: clap::Command) -> clap::Command {
    let any = |arg: clap::Arg| {
        let needs_one = arg.get_action().takes_values() && arg.get_num_args().is_none_or(|many| many.min_values() > 0);
        let takes_any = needs_one && !arg.is_positional();
        arg.allow_hyphen_values(takes_any)
    };
    let command = command.mut_args(any);
    if command.has_subcommands() { command.mut_subcommands(taking_any_value) } else { command }
}

/// Makes the list of entries, and the way from what was parsed to the command's `run`.
macro_rules! commands {
    ($($(#[$on:meta])* $name:literal $(or $($alias:literal),+)? => $kind:ty, $about:literal;)+) => {
        /// All commands, by name.
        pub const ALL: &[Entry] = &[$(
            $(#[$on])*
            Entry {
                name: $name,
                aliases: &[$($($alias),+)?],
                about: $about,
                augment: <$kind as Args>::augment_args,
            },
        )+];

        /// What can run.
        pub type Run = Box<dyn FnOnce(&Context, &Global) -> Result<()>>;

        /// The command that was parsed under `name`.
        ///
        /// # Errors
        /// When its arguments are not what its flags promise.
        pub fn parsed(name: &str, matches: &mut clap::ArgMatches) -> Result<Run, clap::Error> {
            $(
                $(#[$on])*
                if name == $name {
                    let command = <$kind as FromArgMatches>::from_arg_matches_mut(matches)?;
                    return Ok(Box::new(move |context, global| command.run(context, global)));
                }
            )+
            Err(clap::Error::raw(clap::error::ErrorKind::InvalidSubcommand, format!("there is no command {name}\n")))
        }
    };
}

commands! {
    #[cfg(feature = "openfaas")]
    "auth" => super::auth::Auth, "Sign in to a gateway at an identity provider (OpenID Connect)";
    "bashcompletion" => super::bashcompletion::BashCompletion, "Write the completion script for bash to a file";
    "build" => build::Build, "Build the functions of the stack; those that did not change are left alone";
    "cache" => cache::Cache, "Show and clear what builds leave on this machine";
    "chart" => super::chart::Chart, "Write a Helm chart out as one file a resource";
    "completion" => completion::Completion, "Print the completion script for a shell";
    "config" => super::config::Config, "Look at the stack as it counts in the end";
    "deploy" => deploy::Deploy, "Deploy the functions of the stack; those that are there as they should be are left alone";
    "deployments" => super::deployments::Deployments, "Look at the history of a function: when it was deployed, by whom, from which commit, and what changed";
    "describe" => describe::Describe, "Describe a function";
    "dev" => super::dev::Dev, "Keep the functions of the stack deployed while you write them, and show their logs";
    "doctor" => super::doctor::Doctor, "Look at everything that functions need of this machine and of their platform, and say how to mend what is wrong";
    "explain" => super::explain::Explain, "Explain a key of the stack file, as timeout or scale.min, or the code of an error, as E0101";
    "generate" => super::generate::Generate, "Write functions as OpenFaaS Functions, Knative Services, a template of AWS SAM or for Terraform";
    #[cfg(any(feature = "knative", feature = "lambda"))]
    "import" => super::import::Import, "Write functions of other tools as a stack file: of SAM, Serverless, func, Fn, Knative or Lambda";
    "info" => info::Info, "Show the platform's name, version and abilities";
    "invoke" => invoke::Invoke, "Call a function: stdin is the request's body, stdout the answer's";
    "list" or "ls" => list::List, "List the functions that are deployed";
    #[cfg(feature = "local")]
    "local" => super::local::Local, "Run functions on this machine, on the embedded platform";
    #[cfg(feature = "image")]
    "local-run" => super::local_run::LocalRun, "Run functions in containers on this machine, without a platform";
    "login" => login::Login, "Log in to a gateway: the login is checked, then kept";
    "logout" => logout::Logout, "Forget the login of a gateway";
    "logs" => logs::Logs, "Show a function's log, and follow it";
    "man" => super::man::Man, "Write the man pages into a folder, or print the reference of all commands";
    "namespace" or "ns" => namespace::Namespace, "List, create, change and remove namespaces";
    "namespaces" => super::namespaces::Namespaces, "List namespaces, as `namespace list` does";
    "new" => new::New, "Make a function from a template, and its stack file";
    "plan" or "diff" => plan::Plan, "Show what `faas up` would change; where the platform can say, field by field";
    #[cfg(feature = "image")]
    "plugin" => super::plugin::Plugin, "Get plugins: programs in ~/.openfaas/plugins that are called as commands";
    "print-token" => super::print_token::PrintToken, "Print what a token (JWT) says";
    #[cfg(feature = "image")]
    "publish" => super::publish::Publish, "Build the functions' images, for several platforms if you like, and push them";
    #[cfg(feature = "image")]
    "push" => super::push::Push, "Push the functions' images to their registries";
    "ready" => ready::Ready, "Wait until a function, or the platform itself, is ready";
    #[cfg(feature = "image")]
    "registry-login" => super::registry_login::RegistryLogin, "Write a login for a registry to ./credentials/config.json; pushes from this folder use it";
    "remove" or "rm", "delete" => remove::Remove, "Remove functions: those named, or all of the stack file";
    "revisions" => revisions::Revisions, "List and remove the revisions of a function";
    "rollout" => rollout::Rollout, "Move traffic between the revisions of a function";
    "scale" => scale::Scale, "Set the number of a function's replicas";
    "secret" => secret::Secret, "Create, change, list and remove secrets; make keys, and seal secrets with them";
    "store" => store::Store, "Look at ready-made functions, and deploy them";
    "target" => super::target::Target, "Look at the targets of the stack file";
    "template" => template::Template, "Look at templates, and pull them from git repositories";
    "test" => super::test::Test, "Run the unit tests of the functions' handlers";
    "up" => up::Up, "Build, push and deploy the functions of the stack; what did not change is left alone";
    "validate" => validate::Validate, "Check the stack file and all its targets";
    "version" => version::Version, "Print the version";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_what_their_commands_say() {
        for entry in ALL {
            let (whole, stub) = (entry.whole(), entry.stub());
            let about = |command: &clap::Command| command.get_about().map(ToString::to_string);
            assert_eq!(about(&stub), about(&whole), "{}", entry.name);
            let aliases =
                |command: &clap::Command| command.get_visible_aliases().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(aliases(&stub), aliases(&whole), "{}", entry.name);
        }
    }

    #[test]
    fn entries_are_in_order() {
        assert!(ALL.is_sorted_by_key(|entry| entry.name));
    }
}
