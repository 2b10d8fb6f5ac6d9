//! `faas local logs`: what the embedded platform itself has to say.
use std::io::{BufRead, BufReader, Read, Seek};

use clap::Args;

use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::gateway;

/// Print the log of the embedded platform itself; `faas logs` prints a function's
#[derive(Args)]
#[command(after_help = "Example:\n  faas local logs --follow")]
pub struct Logs {
    /// The newest so many lines; -1 is all
    #[arg(long, value_name = "COUNT", default_value_t = 100, allow_negative_numbers = true)]
    lines: i64,
    /// Go on as new lines come
    #[arg(long)]
    follow: bool,
}

impl Logs {
    /// Prints it.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] before the first start.
    pub fn run(self, context: &Context, _global: &Global) -> Result<()> {
        let path = gateway::log_path(&context.dirs);
        let file = std::fs::File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Fault::not_found("the embedded platform has no log yet").hint("`faas local start` starts it")
            }
            _ => Fault::failed(format!("can't read {}", path.display())).cause(e),
        })?;
        let mut reader = BufReader::new(file);
        let cannot = || format!("can't read {}", path.display());
        let mut newest = std::collections::VecDeque::new();
        let wanted = usize::try_from(self.lines).unwrap_or(usize::MAX);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).or_fault(cannot)? > 0 {
            newest.push_back(std::mem::take(&mut line));
            if newest.len() > wanted {
                newest.pop_front();
            }
        }
        for line in newest {
            context.out.raw(&line)?;
        }
        if !self.follow {
            return Ok(());
        }
        loop {
            let mut more = Vec::new();
            reader.read_to_end(&mut more).or_fault(cannot)?;
            context.out.raw(&more)?;
            let at = reader.stream_position().or_fault(cannot)?;
            // Put aside at a start: the new file begins anew.
            if std::fs::metadata(&path).is_ok_and(|m| m.len() < at) {
                reader = BufReader::new(std::fs::File::open(&path).or_fault(cannot)?);
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
}
