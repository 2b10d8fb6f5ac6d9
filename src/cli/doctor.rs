//! `faas doctor`: what is wrong around `faas`, and how to mend it.
use std::fmt::Write;
use std::time::Duration;

use clap::Args;

use super::session::{GatewayFlags, Place, Session};
use super::{Global, stack_file};
use crate::build::Project;
use crate::context::Context;
use crate::doctor::{self, Patient};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::output::{diagnostic, plain};
use crate::stack::ProviderKind;
use crate::template::Catalogue;

/// Look at everything that functions need of this machine and of their platform, and say how to mend what is wrong
///
/// Nothing is changed without --fix. The exit code is 1 when something does not work; warnings don't count.
#[derive(Args)]
#[command(after_help = "Examples:\n  faas doctor\n  faas doctor --target prod\n  faas doctor --fix\n  \
                        faas doctor --output json")]
pub struct Doctor {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Mend what is safe to mend: modes of files, what a killed platform left behind
    #[arg(long)]
    fix: bool,
}

impl Doctor {
    /// Looks, and tells.
    ///
    /// # Errors
    /// When something is broken.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let (stack, unread) = match stack_file::load(context, global) {
            Ok(stack) => (stack, None),
            Err(fault) => (None, Some(Finding::of_fault("stack file", &fault))),
        };
        let root = stack.as_ref().map_or_else(|| context.cwd.clone(), |stack| stack.origin.root.clone());
        let copy = stack.as_ref().map(|stack| stack.configuration.copy.clone()).unwrap_or_default();
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &copy, &catalogue);
        let place = Place::find(context, &self.gateway, stack.as_ref());
        let session = Session::with(context, &self.gateway, stack.clone(), Duration::ZERO);
        let functions = session.as_ref().map(Session::functions).unwrap_or_default();
        let backend = session.map(|session| session.backend);
        let flags = &self.gateway;
        let by_flag = flags.gateway.is_some() || flags.context.is_some() || flags.kubeconfig.is_some();
        let by_variable = context.env.get("OPENFAAS_URL").is_some() || place.kind == ProviderKind::Local;
        let patient = Patient {
            named: stack.is_some() || by_flag || (unread.is_none() && by_variable),
            context,
            stack: stack.as_ref(),
            functions: &functions,
            unread: unread.as_ref(),
            backends: super::backends::names(),
            project: &project,
            kind: place.kind,
            gateway: &place.gateway,
            backend: &backend,
        };
        let findings = crate::runtime::block_on(async { Ok(doctor::examine(&patient, self.fix).await) })?;
        if context.out.is_table() {
            // Its colours are ours, and what others say is cleaned where it is put in.
            let colour = std::io::IsTerminal::is_terminal(&std::io::stdout()) && context.out.colour;
            context.out.raw(shown(&findings, colour).as_bytes())?;
        } else {
            context.out.result(&findings, String::new)?;
        }
        doctor::sum_up(&findings)
    }
}

fn shown(findings: &[Finding], colour: bool) -> String {
    let width = findings.iter().map(|f| console::measure_text_width(&f.about)).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (word, tone) = match finding.state {
            State::Ok => ("ok", diagnostic::Tone::Hint),
            State::Skipped => ("skipped", diagnostic::Tone::Quiet),
            State::Warning => ("warning", diagnostic::Tone::Warning),
            State::Broken => ("broken", diagnostic::Tone::Error),
        };
        let word = diagnostic::paint(colour, tone, &format!("{word:<7}"));
        let about = plain(&finding.about);
        let about = console::pad_str(&about, width, console::Alignment::Left, None);
        let indent = " ".repeat(9);
        let found = plain(&finding.found).trim_end().replace('\n', &format!("\n{indent}"));
        let _ = writeln!(text, "{word}  {about}  {found}");
        if let Some(fixed) = &finding.fixed {
            let _ = writeln!(text, "{indent}mended: {fixed}");
        } else if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "{indent}to mend it: {}", plain(hint).replace('\n', &format!("\n{indent}")));
        }
        if let Some(document) = finding.document.as_ref().filter(|_| finding.fixed.is_none()) {
            let body = plain(&document.text).trim_end().replace('\n', &format!("\n{indent}  "));
            let _ = writeln!(text, "{indent}{}:\n{indent}  {body}", document.title);
        }
    }
    let count = |state| findings.iter().filter(|f| f.state == state).count();
    let (warnings, broken) = (count(State::Warning), count(State::Broken));
    let fixable = findings.iter().filter(|f| f.fix.is_some() && f.fixed.is_none()).count();
    let mut last = match (warnings, broken) {
        (0, 0) => "nothing is wrong".to_owned(),
        (w, b) => format!("{b} broken, {w} to be warned of"),
    };
    if fixable > 0 {
        let _ = write!(last, "; `faas doctor --fix` mends {fixable} of them");
    }
    let _ = writeln!(text, "\n{last}");
    text
}
