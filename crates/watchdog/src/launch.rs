//! Starts the processes of calls: what is the same for all of them is made once.

use std::collections::BTreeMap;
#[cfg(target_os = "linux")]
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::io::ioctl_fionbio;

use crate::Config;
use crate::leader::Leader;
use crate::spawn::{self, Group};

/// How the processes of a function are started.
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    cwd: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    /// The same as the kernel wants it; `None` when there is a zero byte in it.
    #[cfg(target_os = "linux")]
    ready: Option<Ready>,
}

#[cfg(target_os = "linux")]
struct Ready {
    program: CString,
    arguments: Vec<CString>,
    cwd: Option<CString>,
    environment: Vec<CString>,
}

/// A process started for a call, the leader of its group. Its streams never block.
pub(crate) struct Started {
    /// Ends the whole group when dropped.
    pub(crate) group: Group,
    pub(crate) leader: Leader,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Launch {
    pub(crate) fn new(config: &Config, program: PathBuf) -> Self {
        let arguments = config.command.get(1..).unwrap_or_default().to_vec();
        let environment: BTreeMap<String, String> = config.env.iter().cloned().collect();
        let cwd = config.cwd.clone();
        #[cfg(target_os = "linux")]
        let ready = Ready::new(&program, &arguments, cwd.as_deref(), &environment);
        Launch {
            program,
            arguments,
            cwd,
            environment,
            #[cfg(target_os = "linux")]
            ready,
        }
    }

    /// Starts the process of a call, with these variables beside its own. They win.
    ///
    /// The thread stands still until the kernel has the program, some 50 µs. Handing that to another thread takes
    /// longer than it lasts.
    pub(crate) fn start(&self, variables: &[(String, String)]) -> io::Result<Started> {
        let (stdin, input) = io::pipe()?;
        let (output, stdout) = io::pipe()?;
        let (errors, stderr) = io::pipe()?;
        let (input, output, errors) = (OwnedFd::from(input), OwnedFd::from(output), OwnedFd::from(errors));
        for ours in [&input, &output, &errors] {
            ioctl_fionbio(ours, true)?;
        }
        let (leader, group) = self.leader(variables, [stdin.into(), stdout.into(), stderr.into()])?;
        Ok(Started { group, leader, stdin: input, stdout: output, stderr: errors })
    }

    fn leader(&self, variables: &[(String, String)], streams: [OwnedFd; 3]) -> io::Result<(Leader, Group)> {
        let _starting = spawn::starting();
        #[cfg(target_os = "linux")]
        if let Some(ready) = &self.ready
            && *crate::vfork::SUPPORTED
        {
            return ready.start(variables, &streams);
        }
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment).process_group(0);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let [stdin, stdout, stderr] = streams;
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let child = tokio::process::Command::from(command).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        Ok((Leader::Child(child), Group::new(id)))
    }
}

#[cfg(target_os = "linux")]
impl Ready {
    fn new(
        program: &std::path::Path,
        arguments: &[String],
        cwd: Option<&std::path::Path>,
        environment: &BTreeMap<String, String>,
    ) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let path = |path: &std::path::Path| CString::new(path.as_os_str().as_bytes()).ok();
        let program = path(program)?;
        let arguments = arguments.iter().map(|argument| CString::new(argument.as_str()).ok());
        Some(Ready {
            arguments: std::iter::once(Some(program.clone())).chain(arguments).collect::<Option<_>>()?,
            program,
            cwd: match cwd {
                Some(cwd) => Some(path(cwd)?),
                None => None,
            },
            environment: environment
                .iter()
                .map(|(name, value)| CString::new(format!("{name}={value}")).ok())
                .collect::<Option<_>>()?,
        })
    }

    fn start(&self, variables: &[(String, String)], streams: &[OwnedFd; 3]) -> io::Result<(Leader, Group)> {
        use std::os::fd::AsFd;

        use crate::leader::descriptor::Descriptor;
        use crate::vfork::{self, Exec};

        let own: Vec<CString> = variables
            .iter()
            .map(|(name, value)| Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?))
            .collect::<io::Result<_>>()?;
        let hidden = |known: &CString| {
            variables.iter().any(|(name, _)| {
                known.to_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
            })
        };
        let null = std::iter::once(std::ptr::null::<c_char>());
        let known = self.environment.iter().filter(|known| !(known.to_bytes().starts_with(b"Http_") && hidden(known)));
        let environment: Vec<*const c_char> =
            own.iter().chain(known).map(|variable| variable.as_ptr()).chain(null.clone()).collect();
        let arguments: Vec<*const c_char> =
            self.arguments.iter().map(|argument| argument.as_ptr()).chain(null).collect();
        let [stdin, stdout, stderr] = streams;
        let (id, descriptor) = vfork::start(&Exec {
            program: &self.program,
            arguments: &arguments,
            environment: &environment,
            cwd: self.cwd.as_deref(),
            streams: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        })?;
        Ok((Leader::Descriptor(Descriptor::new(descriptor)), Group::new(id.as_raw_nonzero().get())))
    }
}
