//! `trailhound sql`: one query, a file, standard input, or a prompt.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use arrow::datatypes::DataType;
use clap::Args;
use datafusion::scalar::ScalarValue;

use super::format::{Format, Options, Printer};
use super::output::{Outcome, Output, human_count};
use super::prompt::{self, ColumnInfo, Engine, TableInfo};
use super::{Failure, Global, session};
use crate::config::Overrides;
use crate::decode::columns::{CLOUDTRAIL, Table};
use crate::lake::{self, Lake};
use crate::query::{self, Limits, Session, query_schema, record};

const EXAMPLES: &str = "\
Examples:
  trailhound sql \"select event_time, event_name, error_code from cloudtrail where actor_arn like '%/alice' limit 20\"
  trailhound sql \"select json_get_str(request_parameters, 'bucketName') as bucket, count(*) from cloudtrail group by 1\"
  trailhound sql -f report.sql --format csv > report.csv
  trailhound sql --describe cloudtrail
  trailhound sql                                     a prompt with history and completion
";

/// Options of verbs that print rows.
#[derive(Debug, Clone, Args)]
pub(crate) struct Printing {
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// In CSV, leave cells that begin like a formula as they are
    #[arg(long, hide_short_help = true)]
    pub raw_csv: bool,
}

impl Printing {
    /// The format in force.
    pub fn format(&self, output: &Output) -> Format {
        self.format.unwrap_or(if output.stdout_is_terminal() { Format::Table } else { Format::Ndjson })
    }

    /// Prints rows that are there already.
    pub fn print(&self, batch: &arrow::record_batch::RecordBatch, output: &Output) -> Result<(), Failure> {
        let format = self.format(output);
        let mut printer = Printer::new(format, &batch.schema(), output.data(), &self.options(output))?;
        printer.write(batch)?;
        printer.finish()?;
        Ok(())
    }

    fn options(&self, output: &Output) -> Options {
        Options { raw_csv: self.raw_csv, ..Options::for_output(output) }
    }
}

/// Options that limit a query.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueryLimits {
    /// How long a query may run
    #[arg(long, value_name = "SECONDS", hide_short_help = true)]
    timeout_seconds: Option<u64>,
    /// Memory for sorts, joins and aggregates, which spill to disk beyond it
    #[arg(long, value_name = "MIB", hide_short_help = true)]
    memory_mib: Option<u64>,
}

impl QueryLimits {
    /// What they put in place of the configuration.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            timeout_seconds: self.timeout_seconds,
            memory_mib: self.memory_mib,
            ..Overrides::default()
        }
    }
}

/// Ask the lake in SQL. Only queries are taken: nothing in the lake can be changed here.
#[derive(Debug, Args)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct Sql {
    /// The query; without one it is read from standard input, or asked for at a prompt
    #[arg(value_name = "QUERY", conflicts_with = "file")]
    query: Option<String>,
    /// Read the query from a file
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Describe a table's columns, or list the tables
    #[arg(long, value_name = "TABLE", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["query", "file"])]
    describe: Option<String>,
    #[command(flatten)]
    printing: Printing,
    #[command(flatten)]
    limits: QueryLimits,
}

impl Sql {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<Outcome, Failure> {
        if let Some(table) = &self.describe {
            return describe(table, self.printing.format, output);
        }
        let config = global.config_with(output, &self.limits.overrides())?;
        let limits = session::limits(&config);
        let asks = self.query.is_none() && self.file.is_none() && output.interactive();
        if asks {
            let lake = session::open_lake(&config).await?;
            let engine = Prompted { lake: &lake, limits, output, printing: self.printing.clone() };
            let format = self.printing.format(output);
            return tokio::task::block_in_place(|| prompt::run(engine, output, format))
                .map(|()| Outcome::Done)
                .map_err(|error| Failure::new(Outcome::Failed, error));
        }
        let sql = self.text()?;
        let lake = session::open_lake(&config).await?;
        let session = Session::open(&lake, limits).await?;
        let rows = print(&session, &sql, Vec::new(), &self.printing, output).await?;
        tell_empty(rows, output);
        Ok(Outcome::Done)
    }

    fn text(&self) -> Result<String, Failure> {
        match (&self.query, &self.file) {
            (Some(query), _) if query != "-" => Ok(query.clone()),
            (_, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
                Failure::new(Outcome::WrongUse, format!("cannot read `{}`: {error}", file.display()))
            }),
            _ if std::io::stdin().is_terminal() => {
                Err(Failure::new(Outcome::WrongUse, "no query was given")
                    .hint("`trailhound sql \"select 1\"`"))
            }
            _ => {
                let mut text = String::new();
                std::io::stdin().lock().take(1 << 20).read_to_string(&mut text)?;
                Ok(text)
            }
        }
    }
}

/// Runs a query and prints its result as it comes.
pub(super) async fn print(
    session: &Session,
    sql: &str,
    parameters: Vec<(String, ScalarValue)>,
    printing: &Printing,
    output: &Output,
) -> Result<u64, Failure> {
    let query = session.query(sql, parameters).await?;
    let format = printing.format(output);
    let mut printer = Printer::new(format, &query.schema(), output.data(), &printing.options(output))?;
    let stop = query.for_each(|batch| printer.write(batch).map_err(Stop::Print)).await;
    match stop {
        Ok(_) => Ok(printer.finish()?),
        Err(Stop::Print(error)) => Err(error.into()),
        Err(Stop::Query(error)) => Err(error.into()),
    }
}

/// Tells a person at a terminal that there was nothing to print.
pub(super) fn tell_empty(rows: u64, output: &Output) {
    if rows == 0 && output.stdout_is_terminal() {
        output.note("no rows");
    }
}

enum Stop {
    Print(super::format::Error),
    Query(query::Error),
}

impl From<query::Error> for Stop {
    fn from(error: query::Error) -> Self {
        Stop::Query(error)
    }
}

/// What runs the statements of the prompt; every statement sees the newest state of the lake.
struct Prompted<'a> {
    lake: &'a Lake,
    limits: Limits,
    output: &'a Output,
    printing: Printing,
}

impl Engine for Prompted<'_> {
    fn tables(&self) -> Vec<TableInfo> {
        tables().into_iter().map(|described| described.info).collect()
    }

    fn run(&mut self, sql: &str, format: Format) -> Result<(), String> {
        let printing = Printing { format: Some(format), ..self.printing.clone() };
        let work = async {
            let session = Session::open(self.lake, self.limits.clone()).await?;
            let rows = print(&session, sql, Vec::new(), &printing, self.output).await?;
            let plural = if rows == 1 { "" } else { "s" };
            self.output.note(format!("{} row{plural}", human_count(rows)));
            Ok::<(), Failure>(())
        };
        let interrupted = async {
            // Without a handler for the signal the program would end: then there is nothing to wait for.
            let _ = tokio::signal::ctrl_c().await;
        };
        tokio::runtime::Handle::current().block_on(async {
            tokio::select! {
                result = work => result.map_err(|failure| failure.text()),
                () = interrupted => Err("interrupted".to_owned()),
            }
        })
    }
}

/// A table or a view as a person sees it.
struct Described {
    info: TableInfo,
    time_column: &'static str,
}

/// Everything that can be queried: the tables, and the view of whole records.
fn tables() -> Vec<Described> {
    let mut found: Vec<Described> = lake::TABLES.into_iter().map(described).collect();
    let mut view = described(&CLOUDTRAIL);
    record::VIEW.clone_into(&mut view.info.name);
    record::VIEW_DOC.clone_into(&mut view.info.doc);
    view.info.columns.push(ColumnInfo {
        name: record::COLUMN.to_owned(),
        data_type: type_name(&DataType::Utf8View),
        doc: record::COLUMN_DOC.to_owned(),
    });
    let at = found.iter().position(|table| table.info.name == CLOUDTRAIL.name).map_or(0, |at| at + 1);
    found.insert(at, view);
    found
}

fn described(table: &'static Table) -> Described {
    let schema = query_schema(table);
    let columns = table.columns.iter().zip(schema.fields()).map(|(column, field)| ColumnInfo {
        name: column.name.to_owned(),
        data_type: type_name(field.data_type()),
        doc: column.doc.to_owned(),
    });
    let columns = columns.collect();
    let info = TableInfo { name: table.name.to_owned(), doc: table.doc.to_owned(), columns };
    Described { info, time_column: table.time_column }
}

/// The type as SQL names it.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8View | DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp (UTC)".to_owned(),
        other => other.to_string(),
    }
}

/// Prints the columns of a table, or the tables: needs no lake.
fn describe(name: &str, format: Option<Format>, output: &Output) -> Result<Outcome, Failure> {
    let tables = tables();
    let rows: Vec<[String; 3]> = if name.is_empty() {
        tables.into_iter().map(|t| [t.info.name, t.time_column.to_owned(), t.info.doc]).collect()
    } else {
        let names: Vec<String> = tables.iter().map(|table| table.info.name.clone()).collect();
        let table = tables.into_iter().find(|table| table.info.name == name).ok_or_else(|| {
            let error = format!("there is no table `{name}`");
            Failure::new(Outcome::WrongUse, error).hint(format!("the tables are {}", names.join(", ")))
        })?;
        table.info.columns.into_iter().map(|c| [c.name, c.data_type, c.doc]).collect()
    };
    let names = if name.is_empty() { ["table", "time", "doc"] } else { ["column", "type", "doc"] };
    let text = |at: usize| -> arrow::array::ArrayRef {
        std::sync::Arc::new(arrow::array::StringArray::from_iter_values(rows.iter().map(|row| &row[at])))
    };
    let batch = arrow::record_batch::RecordBatch::try_from_iter((0..3).map(|at| (names[at], text(at))))
        .map_err(|error| Failure::new(Outcome::Failed, error))?;
    let format = format.unwrap_or(Format::Table);
    let mut data = output.data();
    if format == Format::Table {
        // Documentation is to be read whole: no cutting, no turning on its side.
        let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0).max(names[at].len());
        let (first, second) = (width(0), width(1));
        for [a, b, c] in &rows {
            writeln!(data, "{a:first$}  {b:second$}  {c}")?;
        }
        data.flush()?;
    } else {
        let mut printer = Printer::new(format, &batch.schema(), data, &Options::for_output(output))?;
        printer.write(&batch)?;
        printer.finish()?;
    }
    Ok(Outcome::Done)
}
