//! `trailhound query`: saved queries with bound parameters.

use std::io::Write;

use clap::Args;
use datafusion::scalar::ScalarValue;

use super::output::{Outcome, Output, human_count};
use super::sql::{self, Printing, QueryLimits};
use super::{Failure, Global, session};
use crate::config::Config;
use crate::query::Session;
use crate::query::saved::{self, SavedQuery};

const EXAMPLES: &str = "\
Examples:
  trailhound query                                   list the saved queries
  trailhound query access-key -p key=AKIAIOSFODNN7EXAMPLE
  trailhound query console-logins --format csv > logins.csv
";

/// Ask a saved query; without a name, list them with their parameters.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Query {
    /// The query's name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// A parameter's value; repeat for each
    #[arg(long = "parameter", short, value_name = "KEY=VALUE", value_parser = key_value)]
    parameters: Vec<(String, String)>,
    /// Print the query's SQL instead of running it
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    printing: Printing,
    #[command(flatten)]
    limits: QueryLimits,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("takes KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Query {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        let config = global.config_with(output, &self.limits.overrides())?;
        let queries = all(&config)?;
        let Some(name) = &self.name else { return list(&queries, output) };
        let query =
            queries.iter().find(|query| query.name == *name).ok_or_else(|| unknown(name, &queries))?;
        if self.show {
            let mut data = output.data();
            writeln!(data, "{}", query.sql.trim())?;
            data.flush()?;
            return Ok(Outcome::Done);
        }
        let wrong =
            |error: saved::Error| Failure::new(Outcome::WrongUse, error).hint(format!("`{}`", query.example));
        let parameters = query.bind(&self.parameters).map_err(wrong)?;
        let limit = limit_of(&parameters).map_err(|error| Failure::new(Outcome::WrongUse, error))?;
        let lake = session::open_lake(&config).await?;
        let session = Session::open(&lake, session::limits(&config)).await?;
        let rows = sql::print(&session, &query.sql, parameters, &self.printing, output).await?;
        sql::tell_empty(rows, output);
        if limit.is_some_and(|limit| rows >= limit.max(1)) {
            let (rows, plural) = (human_count(rows), if rows == 1 { "" } else { "s" });
            output.note(format!(
                "stopped at {rows} row{plural}, there may be more: `-p {LIMIT}=...` says how many"
            ));
        }
        Ok(Outcome::Done)
    }
}

/// The parameter of saved queries that says how many rows there are at the most.
const LIMIT: &str = "limit";

fn limit_of(parameters: &[(String, ScalarValue)]) -> Result<Option<u64>, String> {
    match parameters.iter().find(|(name, _)| name == LIMIT) {
        Some((_, ScalarValue::Int64(Some(limit)))) => match u64::try_from(*limit) {
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(format!("`-p {LIMIT}={limit}` is less than no rows")),
        },
        _ => Ok(None),
    }
}

pub(super) fn all(config: &Config) -> Result<Vec<SavedQuery>, Failure> {
    let wrong = |error: saved::Error| Failure::new(Outcome::WrongUse, error);
    let mut queries: Vec<SavedQuery> = Vec::new();
    for (file, text) in saved::built_in() {
        queries.push(saved::parse(file, text).map_err(wrong)?);
    }
    for folder in &config.query.folders {
        let own = saved::load_folder(folder).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::new(Outcome::WrongUse, lines.join("\n"))
        })?;
        for (_, query) in own {
            // A query of the user's own takes the place of a built-in one of that name.
            queries.retain(|known| known.name != query.name);
            queries.push(query);
        }
    }
    queries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(queries)
}

fn list(queries: &[SavedQuery], output: &Output) -> Result<Outcome, Failure> {
    let mut data = output.data();
    for query in queries {
        writeln!(data, "{}\n    {}", query.name, query.title)?;
        for parameter in &query.parameters {
            let need =
                parameter.default_text().map_or("required".to_owned(), |text| format!("default: {text}"));
            writeln!(data, "    -p {}=...  {} [{need}]", parameter.name, parameter.doc)?;
        }
        writeln!(data, "    $ {}", query.example)?;
    }
    data.flush()?;
    Ok(Outcome::Done)
}

fn unknown(name: &str, queries: &[SavedQuery]) -> Failure {
    let nearest = crate::query::header::nearest(name, queries.iter().map(|query| query.name.as_str()));
    let failure = Failure::new(Outcome::WrongUse, format!("there is no saved query `{name}`"));
    match nearest {
        Some(nearest) => failure.hint(format!("`trailhound query {nearest}`")),
        None => failure.hint("`trailhound query` lists them"),
    }
}
