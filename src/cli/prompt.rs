//! The interactive SQL prompt.
//!
//! Must never know the engine: it hands over SQL and says what went wrong.

mod complete;
mod statements;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Context, Editor, Helper};

use super::format::{Format, Options, Printer};
use super::output::{Output, human_duration};
use complete::FORMATS;

const PROMPT: &str = "trailhound> ";
/// How many entries the history keeps.
const HISTORY_ENTRIES: usize = 5_000;
/// The first line of a history file in which an entry may have several lines.
const HISTORY_HEADER: &[u8] = b"#V2\n";

/// A table as the prompt knows it: for `\d` and the tab key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// The name in SQL.
    pub name: String,
    /// What it holds, one line; empty when nobody says.
    pub doc: String,
    /// The columns in order.
    pub columns: Vec<ColumnInfo>,
}

/// A column as the prompt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// The name in SQL.
    pub name: String,
    /// The type, as shown to a person.
    pub data_type: String,
    /// What it holds, one line; empty when nobody says.
    pub doc: String,
}

/// What runs the statements.
pub trait Engine {
    /// The tables and views there are now.
    fn tables(&self) -> Vec<TableInfo>;
    /// Runs one statement, without its semicolon, and prints its result. The error is shown after `error:`.
    fn run(&mut self, sql: &str, format: Format) -> Result<(), String>;
}

/// Why the prompt ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The terminal cannot be read.
    #[error("cannot read from the terminal")]
    Terminal(#[source] ReadlineError),
}

/// What comes after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The next input.
    Continue,
    /// The end.
    Quit,
}

struct Command {
    name: &'static str,
    argument: &'static str,
    doc: &'static str,
}

const COMMANDS: &[Command] = &[
    Command { name: "\\?", argument: "", doc: "this help" },
    Command { name: "\\d", argument: "[table]", doc: "the tables, or the columns of one" },
    Command {
        name: "\\format",
        argument: "[name]",
        doc: "how results are printed: table, ndjson, json, csv",
    },
    Command { name: "\\timing", argument: "[on|off]", doc: "whether to say how long a statement took" },
    Command { name: "\\q", argument: "", doc: "quit" },
];

/// Words that do what a command does when they stand alone.
fn is_word_command(text: &str) -> bool {
    matches!(text.trim_end_matches(';').to_ascii_lowercase().as_str(), "quit" | "exit" | "help")
}

/// What the prompt does with its inputs, without a terminal.
#[derive(Debug)]
pub struct Session<'o, E> {
    engine: E,
    output: &'o Output,
    format: Format,
    timing: bool,
}

impl<'o, E: Engine> Session<'o, E> {
    /// A session that prints in a format until told otherwise.
    pub fn new(engine: E, output: &'o Output, format: Format) -> Session<'o, E> {
        Session { engine, output, format, timing: false }
    }

    /// Does what an input asks: a command, or the statements in it. A last statement needs no semicolon.
    pub fn handle(&mut self, input: &str) -> Action {
        let input = input.trim();
        if input.starts_with('\\') {
            return self.command(input);
        }
        if is_word_command(input) {
            let help = input.to_ascii_lowercase().starts_with("help");
            return self.command(if help { "\\?" } else { "\\q" });
        }
        let statements = statements::statements(input);
        let rest = Some(statements.rest).filter(|rest| !rest.is_empty());
        for sql in statements.ended.into_iter().chain(rest) {
            let started = Instant::now();
            if let Err(message) = self.engine.run(sql, self.format) {
                if !self.output.closed() {
                    self.output.error(message);
                }
                break;
            }
            if self.timing {
                self.output.note(format!("took {}", human_duration(started.elapsed())));
            }
        }
        if self.output.closed() { Action::Quit } else { Action::Continue }
    }

    fn command(&mut self, input: &str) -> Action {
        let (name, argument) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
        let argument = argument.trim().trim_end_matches(';').trim_end();
        match name.trim_end_matches(';') {
            "\\q" => return Action::Quit,
            "\\?" => self.help(),
            "\\d" if argument.is_empty() => self.list_tables(),
            "\\d" => self.describe(argument),
            "\\format" => self.set_format(argument),
            "\\timing" => self.set_timing(argument),
            other => {
                self.output.error(format!("unknown command `{other}`"));
                self.output.hint("\\? lists the commands");
            }
        }
        Action::Continue
    }

    fn help(&self) {
        for command in COMMANDS {
            let usage = format!("{} {}", command.name, command.argument);
            self.output.note(format!("{usage:<18} {}", command.doc));
        }
        self.output.note("Anything else is SQL and ends with `;`. Ctrl-C clears the input, Ctrl-D quits.");
    }

    fn list_tables(&self) {
        let tables = self.engine.tables();
        let names = tables.iter().map(|table| table.name.as_str()).collect();
        let docs = tables.iter().map(|table| table.doc.as_str()).collect();
        self.print(vec![("table", names), ("what it holds", docs)]);
    }

    fn describe(&self, name: &str) {
        let tables = self.engine.tables();
        let name = name.trim_matches('"');
        let Some(table) = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)) else {
            self.output.error(format!("there is no table `{name}`"));
            self.output.hint("\\d lists the tables");
            return;
        };
        let columns = &table.columns;
        self.print(vec![
            ("column", columns.iter().map(|column| column.name.as_str()).collect()),
            ("type", columns.iter().map(|column| column.data_type.as_str()).collect()),
            ("what it holds", columns.iter().map(|column| column.doc.as_str()).collect()),
        ]);
    }

    /// A table of texts, whatever the format of results is.
    fn print(&self, columns: Vec<(&str, Vec<&str>)>) {
        let columns =
            columns.into_iter().map(|(name, texts)| (name, Arc::new(StringArray::from(texts)) as ArrayRef));
        let printed =
            RecordBatch::try_from_iter(columns).map_err(|error| error.to_string()).and_then(|batch| {
                let options = Options::for_output(self.output);
                let mut printer =
                    Printer::new(Format::Table, batch.schema_ref(), self.output.data(), &options)
                        .map_err(|error| error.to_string())?;
                printer.write(&batch).and_then(|()| printer.finish()).map_err(|error| error.to_string())
            });
        if let Err(message) = printed.map(drop) {
            self.output.error(message);
        }
    }

    fn set_format(&mut self, argument: &str) {
        match Format::from_name(argument).filter(|format| FORMATS.contains(format)) {
            Some(format) => self.format = format,
            None if argument.is_empty() => self.output.note(format!("format is {}", self.format.name())),
            None => {
                let names: Vec<String> =
                    FORMATS.iter().map(|format| format!("`{}`", format.name())).collect();
                self.output.error(format!("`{argument}` is not a format of the prompt"));
                self.output.hint(format!("one of {}", names.join(", ")));
            }
        }
    }

    fn set_timing(&mut self, argument: &str) {
        match argument {
            "on" => self.timing = true,
            "off" => self.timing = false,
            "" => self.timing = !self.timing,
            other => {
                self.output.error(format!("timing is `on` or `off`, not `{other}`"));
                return;
            }
        }
        self.output.note(format!("timing is {}", if self.timing { "on" } else { "off" }));
    }
}

/// Reads statements from the terminal and runs them until `\q` or Ctrl-D. The history outlives the session.
pub fn run<E: Engine>(engine: E, output: &Output, format: Format) -> Result<(), Error> {
    let mut session = Session::new(engine, output, format);
    let mut editor = editor().map_err(Error::Terminal)?;
    let history = open_history(output);
    if let Some(path) = &history {
        // What cannot be read is started anew.
        let _ = editor.load_history(path);
    }
    output.note("Type SQL and end it with `;`. \\? shows the commands, \\q quits.");
    loop {
        editor.set_helper(Some(Assistant { tables: session.engine.tables() }));
        let input = match editor.readline(PROMPT) {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(Error::Terminal(error)),
        };
        remember(&mut editor, &input, history.as_deref());
        if session.handle(&input) == Action::Quit {
            return Ok(());
        }
    }
}

type PromptEditor = Editor<Assistant, FileHistory>;

fn editor() -> rustyline::Result<PromptEditor> {
    let settings = rustyline::Config::builder()
        .max_history_size(HISTORY_ENTRIES)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    Editor::with_config(settings)
}

/// Written at once: a session that is killed keeps what was typed.
fn remember(editor: &mut PromptEditor, input: &str, path: Option<&Path>) {
    let added = !input.trim().is_empty() && editor.add_history_entry(input.trim_end()).unwrap_or(false);
    if let Some(path) = path.filter(|_| added) {
        // A prompt without a history is better than none.
        let _ = editor.append_history(path);
    }
}

/// The history file, made if it is not there; `None` when there is no place for it.
fn open_history(output: &Output) -> Option<PathBuf> {
    let path = history_path(&|name| std::env::var_os(name))?;
    match make_history(&path) {
        Ok(()) => Some(path),
        Err(error) => {
            output.warn(format!("no history: cannot open `{}`: {error}", path.display()));
            None
        }
    }
}

/// `$XDG_STATE_HOME/trailhound/history`, or the same under `~/.local/state`.
fn history_path(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directory = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        directory("XDG_STATE_HOME").or_else(|| directory("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("trailhound").join("history"))
}

/// Makes the file for its owner alone: statements name accounts, keys and addresses.
fn make_history(path: &Path) -> std::io::Result<()> {
    let mut directory = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        directory.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        directory.recursive(true).create(parent)?;
    }
    match file.write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(HISTORY_HEADER),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => for_owner_alone(path),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn for_owner_alone(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn for_owner_alone(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What helps while a line is typed.
struct Assistant {
    tables: Vec<TableInfo>,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete::complete(line, pos, &self.tables))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        if statements::is_complete(context.input()) {
            Ok(ValidationResult::Valid(None))
        } else {
            Ok(ValidationResult::Incomplete)
        }
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use rustyline::history::{History as _, SearchDirection};

    use super::*;
    use crate::cli::output::Streams;

    pub(super) fn tables() -> Vec<TableInfo> {
        let column = |name: &str, data_type: &str| ColumnInfo {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            doc: format!("The {name}."),
        };
        vec![
            TableInfo {
                name: "cloudtrail".to_owned(),
                doc: "AWS API calls.".to_owned(),
                columns: vec![column("event_time", "timestamp"), column("event_name", "text")],
            },
            TableInfo {
                name: "vpc_flow".to_owned(),
                doc: "Network flows.".to_owned(),
                columns: vec![column("srcaddr", "text")],
            },
        ]
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An engine that keeps what it was asked, and fails on `bad`.
    struct Fake(Buffer);

    impl Engine for Fake {
        fn tables(&self) -> Vec<TableInfo> {
            tables()
        }

        fn run(&mut self, sql: &str, format: Format) -> Result<(), String> {
            writeln!(self.0, "{}: {sql}", format.name()).unwrap();
            if sql == "bad" { Err("no such thing as `bad`".to_owned()) } else { Ok(()) }
        }
    }

    /// Each input with what it runs, prints and says, and whether it ends the session.
    fn check(inputs: &[(&str, &str, &str, &str, Action)]) {
        let (ran, stdout, stderr) = (Buffer::default(), Buffer::default(), Buffer::default());
        let output = Output::with(Streams {
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            width: None,
            stderr_is_terminal: false,
            color: false,
            quiet: false,
        });
        let mut session = Session::new(Fake(ran.clone()), &output, Format::Table);
        for (input, expect_ran, expect_printed, expect_said, expect) in inputs {
            assert_eq!(session.handle(input), *expect, "{input}");
            assert_eq!(ran.take(), *expect_ran, "{input}");
            assert_eq!(stdout.take(), *expect_printed, "{input}");
            assert_eq!(stderr.take(), *expect_said, "{input}");
        }
    }

    const GO: Action = Action::Continue;

    #[test]
    fn statements_are_run_in_order_until_one_fails() {
        check(&[
            ("", "", "", "", GO),
            ("select 1;", "table: select 1\n", "", "", GO),
            (" select 1;\nselect 2 ", "table: select 1\ntable: select 2\n", "", "", GO),
            (
                "select 1; bad; select 2;",
                "table: select 1\ntable: bad\n",
                "",
                "error: no such thing as `bad`\n",
                GO,
            ),
        ]);
    }

    #[test]
    fn commands_end_and_change_the_session() {
        check(&[
            ("\\format", "", "", "format is table\n", GO),
            ("\\format ndjson", "", "", "", GO),
            ("x;", "ndjson: x\n", "", "", GO),
            (
                "\\format parquet",
                "",
                "",
                "error: `parquet` is not a format of the prompt\nhint: one of `table`, `ndjson`, `json`, `csv`\n",
                GO,
            ),
            ("\\timing", "", "", "timing is on\n", GO),
            ("\\timing off", "", "", "timing is off\n", GO),
            ("\\timing maybe", "", "", "error: timing is `on` or `off`, not `maybe`\n", GO),
            (
                "\\x\x1b[2J",
                "",
                "",
                "error: unknown command `\\x\\u{1b}[2J`\nhint: \\? lists the commands\n",
                GO,
            ),
            ("\\q", "", "", "", Action::Quit),
            ("QUIT;", "", "", "", Action::Quit),
            ("exit", "", "", "", Action::Quit),
        ]);
    }

    #[test]
    fn tables_and_columns_are_described() {
        let listed = "table       what it holds\n----------  --------------\ncloudtrail  AWS API calls.\nvpc_flow    Network flows.\n";
        let columns =
            "column   type  what it holds\n-------  ----  -------------\nsrcaddr  text  The srcaddr.\n";
        check(&[
            ("\\d", "", listed, "", GO),
            ("\\d;", "", listed, "", GO),
            ("\\d VPC_FLOW;", "", columns, "", GO),
            ("\\d nope", "", "", "error: there is no table `nope`\nhint: \\d lists the tables\n", GO),
        ]);
    }

    #[test]
    fn help_names_every_command() {
        let stderr = Buffer::default();
        let output = Output::with(Streams {
            stdout: Box::new(Vec::new()),
            stderr: Box::new(stderr.clone()),
            width: None,
            stderr_is_terminal: false,
            color: false,
            quiet: false,
        });
        let mut session = Session::new(Fake(Buffer::default()), &output, Format::Table);
        session.handle("help");
        let help = stderr.take();
        assert!(
            COMMANDS.iter().all(|command| help.contains(command.name) && help.contains(command.doc)),
            "{help}"
        );
        session.handle("\\timing on");
        session.handle("select 1;");
        assert!(stderr.take().starts_with("timing is on\ntook "));
    }

    #[test]
    fn history_is_under_the_state_directory() {
        let check = |xdg: Option<&str>, home: Option<&str>, expect: Option<&str>| {
            let environment = |name: &str| if name == "HOME" { home } else { xdg }.map(OsString::from);
            assert_eq!(history_path(&environment), expect.map(PathBuf::from), "{xdg:?} {home:?}");
        };
        check(Some("/s"), Some("/h"), Some("/s/trailhound/history"));
        check(None, Some("/h"), Some("/h/.local/state/trailhound/history"));
        check(Some("relative"), Some("/h"), Some("/h/.local/state/trailhound/history"));
        check(None, None, None);
    }

    #[cfg(unix)]
    #[test]
    fn history_is_for_its_owner_alone_and_keeps_lines_together() {
        use std::os::unix::fs::PermissionsExt as _;

        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state/trailhound/history");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        make_history(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        for sql in ["select 1\nfrom t;", "select 2;"] {
            let mut history = FileHistory::new();
            history.load(&path).unwrap();
            history.add(sql).unwrap();
            history.append(&path).unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        make_history(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let mut history = FileHistory::new();
        history.load(&path).unwrap();
        let entry = |at| history.get(at, SearchDirection::Forward).unwrap().unwrap().entry.into_owned();
        assert_eq!([entry(0), entry(1)], ["select 1\nfrom t;", "select 2;"]);
    }
}
