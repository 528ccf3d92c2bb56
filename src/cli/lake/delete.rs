//! `trailhound lake delete`: rows that must go, for example because a person asked for it.

use clap::Args;

use super::expire::Told;
use crate::cli::output::{Outcome, Output};
use crate::cli::{Failure, Global, session};
use crate::lake::{self, DATA_TABLES};
use crate::maintain::erase::Deletion;

const EXAMPLES: &str = "\
Examples:
  trailhound lake delete --where \"identity_user_name = 'alice'\"
  trailhound lake delete --where \"identity_user_name = 'alice'\" --yes
  trailhound lake delete --table vpc_flow --where \"srcaddr = '198.51.100.7'\" --yes
";

/// Take out rows that fit a condition
///
/// Reading the same objects again brings nothing back. The commit says which rows of which objects went, not the
/// condition. An alert keeps its summary, its entity and the first row it was raised from. Bytes are gone after
/// `trailhound lake vacuum`.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Delete {
    /// The condition, an SQL expression over the table's columns
    #[arg(long = "where", value_name = "CONDITION")]
    condition: String,
    /// The table
    #[arg(long, value_name = "TABLE", default_value = "cloudtrail")]
    table: String,
    /// Do it: without this, only say what would be done
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config(output)?;
        let Some(table) = DATA_TABLES.into_iter().find(|table| table.name == self.table) else {
            let names: Vec<&str> = DATA_TABLES.into_iter().map(|table| table.name).collect();
            let error = format!("rows of `{}` cannot be deleted", self.table);
            return Err(Failure::new(Outcome::WrongUse, error)
                .hint(format!("`--table` takes one of {}", names.join(", "))));
        };
        let lake = session::open_lake(&config).await?;
        let limits = session::limits(&config);
        let deletion = Deletion::new(&lake, table, &self.condition, &limits)?;
        let files: lake::Snapshot = lake.log(table.name)?.snapshot().await?;
        let rows = files.files.iter().filter_map(|file| file.rows).sum();
        let bar = output.progress_items(rows, "looking for rows");
        let mut told = Told::new(output);
        let done = deletion
            .run(self.yes, |looked| {
                bar.advance(looked.rows);
                looked.erased.into_iter().for_each(|erased| told.print(erased));
            })
            .await;
        bar.finish();
        told.end(self.yes, done.map(drop), output)
    }
}
