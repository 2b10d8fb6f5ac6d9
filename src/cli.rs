//! The clap tree, the global flags, and the way from arguments to an exit code. One file a command in `cli/`.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::context::{Context, Dirs, Env};
use crate::error::{OrFault, Result};
use crate::output::{Format, Output};

mod build;
mod completion;
mod deploy;
mod describe;
#[cfg(feature = "knative")]
mod generate;
mod info;
mod invoke;
mod list;
#[cfg(feature = "local")]
mod local;
mod login;
mod logout;
mod logs;
mod namespace;
mod new;
mod pipeline;
#[cfg(feature = "image")]
mod push;
mod ready;
mod remove;
mod revisions;
mod rollout;
mod scale;
mod secret;
pub mod session;
mod stack_file;
mod template;
mod up;
mod validate;
mod values;
mod version;

/// One command line for functions, wherever they run.
#[derive(Parser)]
#[command(name = "faas", version, about, propagate_version = false, max_term_width = 100)]
#[command(disable_help_subcommand = false, subcommand_required = true, arg_required_else_help = true)]
// As in faas-cli, the last of a flag that is given twice counts.
#[command(args_override_self = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Default)]
pub struct Global {
    /// The stack file, or the URL of one [default: stack.yaml, else stack.yml]
    #[arg(short = 'f', long = "yaml", alias = "file", global = true, value_name = "FILE")]
    pub yaml: Option<String>,
    /// Only functions whose name matches this pattern; `*` stands for anything
    #[arg(long, global = true, value_name = "PATTERN", conflicts_with = "regex")]
    pub filter: Option<String>,
    /// Only functions whose name matches this regular expression
    #[arg(long, global = true, value_name = "REGEX")]
    pub regex: Option<String>,
    /// The overlay under `targets:` in the stack file
    #[arg(long, global = true, env = "FAAS_TARGET", value_name = "NAME")]
    pub target: Option<String>,
    /// Treat unknown keys in the stack file as errors
    #[arg(long, global = true)]
    pub strict: bool,
    /// Replace ${VARIABLES} in the stack file by the environment's
    #[arg(long, global = true, value_name = "BOOL", default_value = "true", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, hide_default_value = true)]
    pub envsubst: bool,
    /// How results are printed
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
    /// Print nothing but results and errors
    #[arg(long, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Build),
    Completion(completion::Completion),
    Deploy(deploy::Deploy),
    Describe(describe::Describe),
    #[cfg(feature = "knative")]
    Generate(generate::Generate),
    Info(info::Info),
    Invoke(invoke::Invoke),
    List(list::List),
    #[cfg(feature = "local")]
    Local(local::Local),
    Login(login::Login),
    Logout(logout::Logout),
    Logs(logs::Logs),
    Namespace(namespace::Namespace),
    New(new::New),
    #[cfg(feature = "image")]
    Push(push::Push),
    Ready(ready::Ready),
    Remove(remove::Remove),
    Revisions(revisions::Revisions),
    Rollout(rollout::Rollout),
    Scale(scale::Scale),
    Secret(secret::Secret),
    Template(template::Template),
    Up(up::Up),
    Validate(validate::Validate),
    Version(version::Version),
}

impl Command {
    fn run(self, context: &Context, global: &Global) -> Result<()> {
        match self {
            Self::Build(command) => command.run(context, global),
            Self::Completion(command) => command.run(context),
            Self::Deploy(command) => command.run(context, global),
            Self::Describe(command) => command.run(context, global),
            #[cfg(feature = "knative")]
            Self::Generate(command) => command.run(context, global),
            Self::Info(command) => command.run(context, global),
            Self::Invoke(command) => command.run(context, global),
            Self::List(command) => command.run(context, global),
            #[cfg(feature = "local")]
            Self::Local(command) => command.run(context, global),
            Self::Login(command) => command.run(context, global),
            Self::Logout(command) => command.run(context, global),
            Self::Logs(command) => command.run(context, global),
            Self::Namespace(command) => command.run(context, global),
            Self::New(command) => command.run(context, global),
            #[cfg(feature = "image")]
            Self::Push(command) => command.run(context, global),
            Self::Ready(command) => command.run(context, global),
            Self::Remove(command) => command.run(context, global),
            Self::Revisions(command) => command.run(context, global),
            Self::Rollout(command) => command.run(context, global),
            Self::Scale(command) => command.run(context, global),
            Self::Secret(command) => command.run(context, global),
            Self::Template(command) => command.run(context, global),
            Self::Up(command) => command.run(context, global),
            Self::Validate(command) => command.run(context, global),
            Self::Version(command) => command.run(context, global),
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure; all else is a usage error.
            let code = if error.use_stderr() { crate::error::Kind::Usage.exit_code() } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let env = Env::of_process();
    let out = Output::detect(cli.global.output, cli.global.quiet, &env);
    match context(env, out.clone()).and_then(|context| cli.command.run(&context, &cli.global)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            out.fault(&fault);
            ExitCode::from(fault.kind.exit_code())
        }
    }
}

fn context(env: Env, out: Output) -> Result<Context> {
    let cwd: PathBuf = std::env::current_dir().or_fault(|| "the current folder can't be read".into())?;
    let dirs = Dirs::from_env(&env)?;
    Ok(Context { env, cwd, dirs, out })
}

/// The clap tree, for completions, man pages and the reference.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
