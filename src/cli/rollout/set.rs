//! `faas rollout set`.
use clap::Args;

use super::{Target, resolve};
use crate::cli::Global;
use crate::context::Context;
use crate::error::{Fault, Result};

/// Set which revisions get how much of the traffic
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas rollout set tax tax-00001=90,tax-00002=10\n  faas rollout set tax 00001=50 00002=50"
)]
pub struct Set {
    #[command(flatten)]
    target: Target,
    /// A revision and its share in percent; all of them sum to 100
    #[arg(required = true, value_name = "REVISION=PERCENT", value_delimiter = ',', value_parser = share)]
    shares: Vec<(String, u8)>,
}

impl Set {
    /// Sets them.
    ///
    /// # Errors
    /// [`crate::error::Kind::Usage`] when they don't sum to 100, [`crate::error::Kind::NotFound`] for an unknown name.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let sum: u32 = self.shares.iter().map(|(_, percent)| u32::from(*percent)).sum();
        if sum != 100 {
            return Err(Fault::usage(format!("the shares sum to {sum}, not to 100"))
                .hint("name every revision that is to get calls, as in `1=90,2=10`"));
        }
        let open = self.target.open(context, global)?;
        crate::runtime::block_on(async {
            let traffic = open.traffic()?;
            let there = traffic.revisions(&open.id).await?;
            let mut shares = Vec::new();
            for (given, percent) in &self.shares {
                shares.push((resolve(&open.id, &there, given)?.name.clone(), *percent));
            }
            traffic.set(&open.id, &shares).await?;
            open.report(context).await
        })
    }
}

fn share(text: &str) -> Result<(String, u8), String> {
    let wrong = || format!("`{text}` is no REVISION=PERCENT, as tax-00001=90");
    let (name, percent) = text.split_once('=').ok_or_else(wrong)?;
    let percent = percent.trim_end_matches('%').parse().ok().filter(|p| *p <= 100).ok_or_else(wrong)?;
    if name.is_empty() { Err(wrong()) } else { Ok((name.into(), percent)) }
}
