//! Reading the lake with SQL: a session over one state of its tables, which can only read.
//!
//! Must never write, and must never reach a file outside the lake.

pub mod header;
mod json;
pub mod record;
pub mod saved;
mod table;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::ParamValues;
use datafusion::common::tree_node::TreeNode;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::future::try_join_all;
use url::Url;

pub use table::{LakeTable, query_schema, timestamp};

use crate::decode::columns::{CLOUDTRAIL, Table};
use crate::lake::{self, DataFile, Lake};

/// Longer SQL than this is refused.
const MAX_SQL_BYTES: usize = 256 * 1024;
/// SQL of more words and signs than this is refused; a list of ten thousand addresses fits.
const MAX_SQL_TOKENS: usize = 50_000;
/// SQL of more operators than this is refused: planning them takes time that grows with their square, and stack.
const MAX_SQL_OPERATORS: usize = 2_000;

/// What a session may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory for sorts, joins and aggregates; beyond it they spill to disk.
    pub memory_bytes: usize,
    /// How long one query may run.
    pub timeout: Duration,
    /// Threads of one query; none for as many as there are cores.
    pub threads: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 2 << 30, timeout: Duration::from_mins(10), threads: None }
    }
}

/// Why a query cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not SQL.
    #[error("cannot parse the SQL: {0}")]
    Parse(String),
    /// The text is something other than one query.
    #[error("only queries can be run, and `{statement}` is not one: the lake is read-only here")]
    NotAQuery {
        /// The statement's first word.
        statement: String,
    },
    /// The text holds more or less than one statement.
    #[error("expected one statement and found {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// The text is too long.
    #[error("the SQL is too long: {size} {unit}, and the limit is {limit}")]
    TooLong {
        /// How long.
        size: usize,
        /// Of what.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The query cannot be planned: a name or a type is wrong.
    #[error("{0}")]
    Plan(String),
    /// The query failed while it ran.
    #[error("the query failed")]
    Run(#[source] Box<DataFusionError>),
    /// The query took too long.
    #[error("the query did not finish within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] lake::Error),
}

impl Error {
    fn run(error: DataFusionError) -> Self {
        Error::Run(Box::new(error))
    }
}

/// Tables to query and the limits to keep.
pub struct Session {
    context: SessionContext,
    limits: Limits,
}

impl Session {
    /// A session over the newest state of every table of a lake, and the view [`record::VIEW`].
    pub async fn open(lake: &Lake, limits: Limits) -> Result<Self, Error> {
        let session = Self::empty(lake, limits)?;
        let snapshot = async |table: &'static Table| lake.log(table.name)?.snapshot().await;
        let snapshots = try_join_all(lake::TABLES.map(snapshot)).await?;
        for (table, snapshot) in lake::TABLES.into_iter().zip(snapshots) {
            session.register(lake, table, snapshot.files)?;
        }
        let rows = session.context.table(CLOUDTRAIL.name).await.map_err(Error::run)?;
        session.register_provider(record::VIEW, record::view(rows).map_err(Error::run)?)?;
        Ok(session)
    }

    /// A session with no tables yet.
    pub fn empty(lake: &Lake, limits: Limits) -> Result<Self, Error> {
        let session = Self::detached(limits)?;
        let (store, url) = lake.store();
        let runtime = session.context.runtime_env();
        runtime.register_object_store(store_url(url)?.as_ref(), Arc::clone(store));
        Ok(session)
    }

    /// The same session with batches of about so many rows between the parts of a plan.
    #[must_use]
    pub fn with_batch_rows(self, rows: usize) -> Self {
        {
            let state = self.context.state_ref();
            let mut state = state.write();
            let config = state.config_mut();
            *config = std::mem::take(config).with_batch_size(rows.max(1));
        }
        self
    }

    /// A session with no lake behind it: for tables in memory.
    pub fn detached(limits: Limits) -> Result<Self, Error> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes)))
            .build_arc()
            .map_err(Error::run)?;
        let mut config = SessionConfig::new().with_information_schema(true);
        if let Some(threads) = limits.threads {
            config = config.with_target_partitions(threads.max(1));
        }
        // Pushing JSON access down would read it for every row, before the filters that are cheap.
        config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
        let parquet = &mut config.options_mut().execution.parquet;
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        // Times as Spark writes them, where another program wrote a file again; as nanoseconds, far ones would wrap.
        parquet.coerce_int96 = Some("us".to_owned());
        parquet.coerce_int96_tz = Some("UTC".to_owned());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let mut context = SessionContext::new_with_state(state);
        json::register(&mut context).map_err(Error::run)?;
        // These make rows out of nothing, without regard to the memory limit.
        for function in ["generate_series", "range"] {
            context.deregister_udtf(function);
        }
        Ok(Session { context, limits })
    }

    /// Makes files of a table queryable under the table's name.
    pub fn register(&self, lake: &Lake, table: &'static Table, files: Vec<DataFile>) -> Result<(), Error> {
        self.register_provider(table.name, Arc::new(lake_table(lake, table, files)?))
    }

    /// Makes the rows of a table's files that fit a filter queryable under the table's name.
    pub fn register_where(
        &self,
        lake: &Lake,
        table: &'static Table,
        files: Vec<DataFile>,
        filter: Expr,
    ) -> Result<(), Error> {
        let provider = lake_table(lake, table, files)?;
        let frame = self.context.read_table(Arc::new(provider)).map_err(Error::run)?;
        let view = frame.filter(filter).map_err(Error::run)?.into_view();
        self.register_provider(table.name, view)
    }

    /// Makes any table queryable under a name.
    pub fn register_provider(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<(), Error> {
        self.context.register_table(name, provider).map_err(Error::run)?;
        Ok(())
    }

    /// The rows of a table's files, for layers that go on with a plan of their own.
    pub fn read(&self, lake: &Lake, table: &'static Table, files: Vec<DataFile>) -> Result<DataFrame, Error> {
        let provider = lake_table(lake, table, files)?;
        self.context.read_table(Arc::new(provider)).map_err(Error::run)
    }

    /// A condition on the rows of a frame, from text that must be exactly one expression over its columns.
    ///
    /// Functions whose value changes from one call to the next are refused: the condition may be asked twice.
    pub fn condition(&self, frame: &DataFrame, sql: &str) -> Result<Expr, Error> {
        check_size(sql)?;
        let expr = frame.parse_sql_expr(sql).map_err(|error| plan_error(&error))?;
        let refused = |expr: &Expr| {
            Ok(match expr {
                Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
                Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Placeholder(_) => true,
                _ => false,
            })
        };
        if expr.exists(refused).map_err(Error::run)? {
            let text = "the condition must be about one row: no queries, aggregates or functions that change";
            return Err(Error::Plan(text.to_owned()));
        }
        let kind = expr.get_type(frame.schema()).map_err(|error| plan_error(&error))?;
        if kind == DataType::Boolean {
            return Ok(expr);
        }
        Err(Error::Plan(format!("the condition is of type `{kind}`, not a boolean")))
    }

    /// Plans one query; placeholders such as `$key` take the parameters' values.
    pub async fn query(&self, sql: &str, parameters: Vec<(String, ScalarValue)>) -> Result<Query, Error> {
        let statement = parse(sql)?;
        let state = self.context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| plan_error(&error))?;
        let read_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(|_| Error::NotAQuery { statement: first_word(sql) })?;
        let mut frame = DataFrame::new(state, plan);
        if !parameters.is_empty() {
            frame =
                frame.with_param_values(ParamValues::from(parameters)).map_err(|error| plan_error(&error))?;
        }
        Ok(Query { frame, timeout: self.limits.timeout })
    }
}

/// A query that is planned.
pub struct Query {
    frame: DataFrame,
    timeout: Duration,
}

impl Query {
    /// The columns of the result.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.frame.schema().inner())
    }

    /// Runs the query and hands each batch to `each` as it comes; returns the number of rows.
    pub async fn for_each<E: From<Error>>(
        self,
        mut each: impl FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<usize, E> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let timeout = self.timeout;
        let late = |_| E::from(Error::Timeout(timeout));
        let started = tokio::time::timeout_at(deadline, self.frame.execute_stream()).await.map_err(late)?;
        let mut stream: SendableRecordBatchStream = started.map_err(Error::run)?;
        let mut rows = 0;
        while let Some(batch) =
            tokio::time::timeout_at(deadline, futures::StreamExt::next(&mut stream)).await.map_err(late)?
        {
            let batch = batch.map_err(Error::run)?;
            rows += batch.num_rows();
            each(&batch)?;
        }
        Ok(rows)
    }

    /// Runs the query and returns all of its result.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        self.for_each(|batch| {
            batches.push(batch.clone());
            Ok::<(), Error>(())
        })
        .await?;
        Ok(batches)
    }
}

fn lake_table(lake: &Lake, table: &'static Table, files: Vec<DataFile>) -> Result<LakeTable, Error> {
    let (_, url) = lake.store();
    let directory = format!("{}{}", url.path().trim_start_matches('/'), table.name);
    let directory = percent_encoding::percent_decode_str(&directory).decode_utf8_lossy().into_owned();
    Ok(LakeTable::new(table, files, store_url(url)?, directory))
}

fn store_url(url: &Url) -> Result<ObjectStoreUrl, Error> {
    let root = match url.host_str() {
        Some(host) => format!("{}://{host}", url.scheme()),
        None => format!("{}://", url.scheme()),
    };
    ObjectStoreUrl::parse(root).map_err(Error::run)
}

/// Parses text that must be exactly one query, before anything of it is planned.
fn parse(sql: &str) -> Result<Statement, Error> {
    check_size(sql)?;
    let dialect = GenericDialect {};
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| Error::Parse(plain(&error)))?;
    let found = statements.len();
    let Some(statement) = statements.pop_front().filter(|_| found == 1) else {
        return Err(Error::Count { found });
    };
    if is_query(&statement) { Ok(statement) } else { Err(Error::NotAQuery { statement: first_word(sql) }) }
}

/// Refuses text that would take too long, or too much stack, to plan.
fn check_size(sql: &str) -> Result<(), Error> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(Error::TooLong { size: sql.len(), unit: "bytes", limit: MAX_SQL_BYTES });
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::Parse(error.to_string()))?;
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if words > MAX_SQL_TOKENS {
        return Err(Error::TooLong { size: words, unit: "words and signs", limit: MAX_SQL_TOKENS });
    }
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    if operators > MAX_SQL_OPERATORS {
        return Err(Error::TooLong { size: operators, unit: "operators", limit: MAX_SQL_OPERATORS });
    }
    Ok(())
}

/// Whether a token joins expressions into a deeper one; commas make lists, which stay flat.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::UNION)
        }
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::RParen
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

fn is_query(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            statement.as_ref(),
            SqlStatement::Query(_)
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ExplainTable { .. }
        ),
        Statement::Explain(explain) => is_query(&explain.statement),
        _ => false,
    }
}

fn first_word(sql: &str) -> String {
    let words = |line: &str| line.split_whitespace().next().map(str::to_uppercase);
    let mut code = sql.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    code.find_map(words).unwrap_or_default().chars().take(30).collect()
}

fn plan_error(error: &DataFusionError) -> Error {
    Error::Plan(plain(error))
}

/// The engine's message without its prefixes and traces.
fn plain(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    for prefix in ["Error during planning: ", "Schema error: ", "SQL error: ", "External error: "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    // The engine lists every column of the table; `--describe` does it better.
    let text = text.split("\nValid fields are").next().unwrap_or(text);
    text.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_query_is_taken() {
        for sql in [
            "select 1",
            "with a as (select 1) select * from a;",
            "explain select 1",
            "show tables",
            "values (1)",
        ] {
            parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        for sql in [
            "drop table cloudtrail",
            "delete from cloudtrail",
            "insert into cloudtrail values (1)",
            "update cloudtrail set event_name = 'x'",
            "copy cloudtrail to '/tmp/x.csv'",
            "copy (select 1) to 'x.parquet'",
            "create external table t stored as csv location '/etc/passwd'",
            "create table t as select 1",
            "create view v as select 1",
            "set datafusion.execution.batch_size = 1",
            "explain copy (select 1) to 'x.csv'",
            "explain delete from cloudtrail",
            "prepare p as select 1",
            "reset all",
        ] {
            let error = parse(sql).expect_err(sql);
            assert!(matches!(error, Error::NotAQuery { .. } | Error::Parse(_)), "{sql}: {error}");
        }
        assert!(matches!(parse("select 1; select 2"), Err(Error::Count { found: 2 })));
        assert!(matches!(parse(""), Err(Error::Count { found: 0 })));
        assert!(matches!(parse("selec 1"), Err(Error::Parse(_))));
        for long in [format!("select {}1", "1+".repeat(2_001)), format!("select '{}'", "x".repeat(300_000))] {
            assert!(matches!(parse(&long), Err(Error::TooLong { .. })));
        }
        let list = vec!["'198.51.100.7'"; 10_000].join(",");
        parse(&format!("select * from cloudtrail where source_ip_address in ({list})"))
            .expect("a list is flat");
    }
}
