//! `faas-watchdog`: the invoker behind an HTTP server, told by of-watchdog's environment variables.

mod connection;
mod console;
mod health;
mod lambda;
mod patient;
mod serve;

use std::process::ExitCode;

use faas_watchdog::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const HELP: &str = "\
faas-watchdog runs a function's process and serves HTTP for it.

It is told by environment variables, those of of-watchdog: fprocess, mode (http, streaming, serializing, static), static_path,
http_upstream_url, port, exec_timeout, read_timeout, write_timeout, max_inflight, memory_limit, ready_path, healthcheck_interval,
prefix_logs, content_type, http_buffer_req_body, log_buffer_size, log_callid, suppress_lock; log_requests=true
for a line per request, log_format=json for objects instead of lines.

On AWS Lambda (AWS_LAMBDA_RUNTIME_API is set) it takes its calls from the Runtime API instead, as `bootstrap` of a custom
runtime or by AWS_LAMBDA_EXEC_WRAPPER in a managed one.

  --health     ask the watchdog on $port how it is: exit 0 when healthy, 1 when not (for a container's HEALTHCHECK)
  --version    print the version
  --help       print this

Example:
  fprocess='python3 server.py' mode=http http_upstream_url=http://127.0.0.1:5000 faas-watchdog
";

/// Connections and pipes are files, and what a container is given at first, 1024, is soon used up. Not all there are, as
/// functions inherit it, and some of them close every number up to it when they start a process.
fn raise_files() {
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|now| now < raised) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
}

fn main() -> ExitCode {
    // A variable that is not UTF-8 can't be one of ours; it is the function's loss, which is said below.
    let (variables, odd): (Vec<_>, Vec<_>) = std::env::vars_os()
        .map(|(name, value)| (name.into_string(), value.into_string()))
        .partition(|(name, value)| name.is_ok() && value.is_ok());
    let variables = variables.into_iter().filter_map(|(name, value)| Some((name.ok()?, value.ok()?)));
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {}
        ["--version" | "-version" | "-V"] => {
            println!("faas-watchdog {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        // The second name is of-watchdog's.
        ["--health" | "--run-healthcheck" | "-run-healthcheck"] => return health::ask(variables),
        _ => {
            eprintln!("faas-watchdog: takes no such argument: {}\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    }
    let mut settings = match Settings::from_env(variables) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("faas-watchdog: {error}");
            return ExitCode::FAILURE;
        }
    };
    settings.warnings.extend(odd.iter().map(|_| "a variable of the environment is not UTF-8: left out".to_owned()));
    raise_files();
    // Two workers: a container seldom has more cores, and a third thread buys nothing for a proxy.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = match lambda::address(&settings) {
                Some(address) => runtime.block_on(lambda::run(settings, &address)),
                None => runtime.block_on(serve::serve(settings)),
            };
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("faas-watchdog: can't start: {error}");
            ExitCode::FAILURE
        }
    }
}
