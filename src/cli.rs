//! The clap tree, the global flags, and the way from arguments to an exit code. One file a command in `cli/`.
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser};

use crate::context::{Context, Dirs, Env};
use crate::error::{OrFault, Result};
use crate::output::{Dialect, Format, LogFormat, Output};
use commands::Entry;

mod ahead;
mod ask;
#[cfg(feature = "openfaas")]
mod auth;
mod backends;
mod bashcompletion;
#[cfg(feature = "lambda")]
mod blank;
mod build;
mod cache;
mod chart;
mod commands;
pub mod compat;
mod complete;
mod completion;
mod config;
mod deploy;
mod deployments;
mod describe;
mod dev;
mod doctor;
mod each;
mod explain;
mod generate;
mod hidden;
#[cfg(any(feature = "knative", feature = "lambda"))]
mod import;
mod info;
mod invoke;
mod list;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "image")]
mod local_run;
mod login;
mod logout;
mod logs;
mod man;
#[cfg(feature = "lambda")]
mod mfa;
mod namespace;
mod namespaces;
mod new;
mod password;
mod pipeline;
mod plan;
#[cfg(feature = "image")]
mod plugin;
mod print_token;
#[cfg(feature = "image")]
mod publish;
#[cfg(feature = "image")]
mod push;
mod ready;
#[cfg(feature = "image")]
mod registry_login;
#[cfg(feature = "image")]
mod remote_builder;
mod remove;
mod revisions;
mod rollout;
mod scale;
mod secret;
pub mod session;
mod several;
mod stack_file;
mod store;
mod target;
mod template;
mod test;
mod up;
mod usage;
mod validate;
mod values;
mod verbose;
mod version;

/// One command line for functions, wherever they run.
#[derive(Parser)]
#[command(name = "faas", version, about, propagate_version = false, max_term_width = 100)]
#[command(disable_help_subcommand = false, subcommand_required = true, arg_required_else_help = true)]
// As in faas-cli, the last of a flag that is given twice counts.
#[command(args_override_self = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Say on stderr what is done: -v, -vv for every request, -vvv for connections too; passwords and tokens are left out
    #[arg(short, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    verbose: u8,
}

/// What help says above them.
const EVERYWHERE: &str = "Options of every command";

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// The stack file, or the URL of one [default: stack.yaml, else stack.yml]
    #[arg(help_heading = EVERYWHERE, short = 'f', long = "yaml", alias = "file", global = true, value_name = "FILE")]
    pub yaml: Option<String>,
    /// Only functions whose name matches this pattern; `*` stands for anything
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "PATTERN")]
    pub filter: Option<String>,
    /// Only functions whose name matches this regular expression
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "REGEX")]
    pub regex: Option<String>,
    /// The overlay under `targets:` in the stack file
    #[arg(help_heading = EVERYWHERE, long, global = true, env = "FAAS_TARGET", value_name = "NAME")]
    pub target: Option<String>,
    /// Treat unknown keys in the stack file as errors
    #[arg(help_heading = EVERYWHERE, long, global = true)]
    pub strict: bool,
    /// Replace ${VARIABLES} in the stack file by the environment's
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "BOOL", default_value = "true", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, hide_default_value = true)]
    pub envsubst: bool,
    /// How results are printed
    #[arg(help_heading = EVERYWHERE, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
    /// Print nothing but results and errors
    #[arg(help_heading = EVERYWHERE, long, global = true)]
    pub quiet: bool,
    /// A file of variables for ${…} in the stack file [default: .env.TARGET, then .env, beside the stack file]
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Ask nothing, even on a terminal
    #[arg(help_heading = EVERYWHERE, long, global = true)]
    pub yes: bool,
    /// No colour and no lines that are drawn again, for screen readers [default: FAAS_PLAIN]
    #[arg(help_heading = EVERYWHERE, long, global = true, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", hide_possible_values = true)]
    pub plain: Option<bool>,
    /// How notes, warnings and progress are written to stderr
    #[arg(help_heading = EVERYWHERE, long, global = true, value_enum, value_name = "FORMAT", default_value_t, hide_default_value = true)]
    pub log_format: LogFormat,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    #[cfg(feature = "lambda")]
    blank::taken_away();
    clap_complete::CompleteEnv::with_factory(|| complete::live(command())).complete();
    let args: Vec<OsString> = std::env::args_os().collect();
    let dialect = compat::dialect(&args);
    if let Some(code) = plugin_in_place(&args, dialect) {
        return ExitCode::from(code);
    }
    // There, `-v` is a command's own.
    let (args, verbose) = if dialect == Dialect::FaasCli { (args, 0) } else { verbose::taken_out(args) };
    let args = ahead::in_order(args, dialect);
    let exit = |code: u8| ExitCode::from(if dialect == Dialect::FaasCli { compat::exit_code(code) } else { code });
    let (global, command) = match parse(&args, dialect).map_err(|error| usage::discreet(error, &args)) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to stdout and are no failure; all else is a usage error.
            let code = if error.use_stderr() { crate::error::Kind::Usage.exit_code() } else { 0 };
            if dialect == Dialect::FaasCli && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                // There, a group without a command is a question for help.
                print!("{}", error.render());
                return ExitCode::SUCCESS;
            }
            if dialect == Dialect::FaasCli && error.kind() == ErrorKind::MissingSubcommand {
                // With flags it is one, too.
                let group = args.iter().take_while(|arg| !arg.as_encoded_bytes().starts_with(b"-")).cloned();
                if let Err(help) = parse(&group.collect::<Vec<_>>(), dialect) {
                    print!("{}", help.render());
                    return ExitCode::SUCCESS;
                }
            }
            if !error.use_stderr() {
                return exit(shown(&error));
            }
            let hint = usage::hint(&error, &args).filter(|_| dialect == Dialect::Faas);
            match usage::programs(&args).filter(|_| dialect == Dialect::Faas) {
                Some(out) => out.fault(&usage::fault(&error, hint)),
                None => {
                    let _ = error.print();
                    hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
                }
            }
            return exit(code);
        }
    };
    let env = Env::of_process();
    let mut out = Output::detect(global.output, global.quiet, &env).logged(global.log_format);
    out.asks_nothing = global.yes;
    out.dialect = dialect;
    if global.plain.unwrap_or_else(|| env.is_on("FAAS_PLAIN")) {
        out = out.plain();
    }
    verbose::start(verbose, &env, global.log_format);
    let run = |context: Context| command(&context, &global).map_err(|fault| full_disk(context.dirs.explain(fault)));
    match context(env, out.clone()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            out.fault(&fault);
            exit(fault.kind.exit_code())
        }
    }
}

/// Prints help or the version, which are results; the exit code.
fn shown(result: &clap::Error) -> u8 {
    match result.print().and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let fault = full_disk(crate::error::Fault::failed("can't write to stdout").cause(error));
            Output::default().fault(&fault);
            fault.kind.exit_code()
        }
        _ => 0,
    }
}

/// The fault, with a way out where the disk is full and it has none.
fn full_disk(fault: crate::error::Fault) -> crate::error::Fault {
    if fault.hint.is_some() || !fault.to_string().contains("No space left on device") {
        return fault;
    }
    fault.hint("the disk is full: free some space and run the command again")
}

/// Runs the plugin that is called by the first argument, in the place of this process. As faas-cli, plugins come before
/// its own commands; as `faas`, after them.
fn plugin_in_place(args: &[OsString], dialect: Dialect) -> Option<u8> {
    let name = args.get(1).filter(|name| !name.as_encoded_bytes().starts_with(b"-"))?;
    let is_own = || commands::ALL.iter().any(|entry| name.to_str().is_some_and(|name| entry.is(name)));
    if dialect == Dialect::Faas && is_own() {
        return None;
    }
    let plugin = crate::plugin::find(std::env::var_os("HOME").as_deref(), name)?;
    Some(crate::plugin::run(&plugin, &args[2..]))
}

/// What the arguments say. Making the flags of all commands is most of what a short command takes, so they are only
/// made for the one that is named first, and again with all of them when that doesn't do.
fn parse(args: &[OsString], dialect: Dialect) -> Result<(Global, commands::Run), clap::Error> {
    let only = |name: &OsString| commands::ALL.iter().find(|entry| name.to_str().is_some_and(|name| entry.is(name)));
    let named = args.get(1).and_then(only);
    if dialect == Dialect::FaasCli {
        let named = args.get(1).and_then(|name| name.to_str()).and_then(compat::find);
        let tree = match named {
            Some(entry) => compat::adapt(root().subcommand(entry.whole()), dialect),
            None if args.len() == 2 && (args[1] == "--help" || args[1] == "-h") => compat::list(),
            None => compat::command(),
        };
        return parsed(tree, args);
    }
    let tree = match named {
        Some(entry) => root().subcommand(entry.whole()),
        // No command is needed for it.
        None if args.len() == 2 && (args[1] == "--version" || args[1] == "-V") => Cli::command(),
        None if args.len() == 2 => alone(Cli::command()).subcommands(commands::ALL.iter().map(Entry::stub)),
        None => return parsed(command(), args),
    };
    match parsed(tree, args) {
        // Said in faas-cli's way, it is understood, too; what is wrong is told in ours.
        Err(error) if error.use_stderr() => match parsed(compat::adapt(command(), dialect), args) {
            Err(again) if again.use_stderr() => Err(match named {
                Some(_) => parsed(command(), args).err().unwrap_or(error),
                None => error,
            }),
            understood => understood,
        },
        done => done,
    }
}

fn parsed(tree: clap::Command, args: &[OsString]) -> Result<(Global, commands::Run), clap::Error> {
    // It goes with the process: giving its thousands of pieces back one by one is a tenth of what help takes.
    let tree = Box::leak(Box::new(tree));
    let mut matches = tree.try_get_matches_from_mut(args)?;
    let is_faas_cli = tree.get_name() == "faas-cli";
    let read = |matches: &mut clap::ArgMatches| {
        let said = matches.try_contains_id("target").is_ok_and(|is_there| is_there)
            && matches.value_source("target") == Some(clap::parser::ValueSource::CommandLine);
        let global = Global::from_arg_matches_mut(matches)?;
        // A variable of a pipeline that is not set must not lead to another place.
        if said && global.target.as_ref().is_some_and(|names| names.trim().is_empty()) {
            let why = "`--target` names no target: it is empty; name one, or leave the flag out";
            return Err(clap::Error::raw(ErrorKind::InvalidValue, why));
        }
        let (name, mut matches) = matches.remove_subcommand().unwrap_or_default();
        let own = if is_faas_cli { compat::parsed(&name, &mut matches) } else { None };
        Ok((global, own.unwrap_or_else(|| commands::parsed(&name, &mut matches))?))
    };
    read(&mut matches).map_err(|error: clap::Error| error.format(tree))
}

fn context(env: Env, out: Output) -> Result<Context> {
    let cwd: PathBuf = std::env::current_dir()
        .or_fault(|| "the current folder can't be read".into())
        .map_err(|fault| fault.hint("was it removed? `cd` to one that is there"))?;
    let dirs = Dirs::from_env(&env);
    Ok(Context { env, cwd, dirs, out })
}

/// The root for a list of commands: its flags are not handed down to each of them, which is most of the work.
fn alone(root: clap::Command) -> clap::Command {
    root.mut_args(|arg| arg.global(false))
}

/// The clap tree without any command.
fn root() -> clap::Command {
    commands::taking_any_value(Cli::command())
}

/// The clap tree, for completions, man pages and the reference.
#[must_use]
pub fn command() -> clap::Command {
    root().subcommands(commands::ALL.iter().map(Entry::whole))
}
