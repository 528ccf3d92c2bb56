//! The configuration file: what the user wrote, checked, and what is in force.
//!
//! Must never hold a secret: it says where secrets are (`Secret`), and reads them only when asked.

mod check;
mod keys;
mod read;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use keys::{Default, Key, Kind, SECTIONS, Section, reference};

use crate::severity::Severity;
use read::{Block, Value};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "trailhound.toml";
/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "TRAILHOUND_CONFIG";
/// The environment variable that names the lake.
pub const LAKE_VARIABLE: &str = "TRAILHOUND_LAKE";

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value or a problem comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named.
        file: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Environment(&'static str),
    /// A flag of the command line, by name.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Origin::Environment(variable) => write!(f, "environment, `{variable}`"),
            Origin::CommandLine(flag) => write!(f, "command line, `{flag}`"),
        }
    }
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub origin: Origin,
    /// The key with its section, e.g. `ingest.batch_rows`; empty when no key is behind it.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What can go wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file, the environment or the command line say something that cannot be.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    /// A secret cannot be read.
    #[error("cannot read the secret of a sink from {place}")]
    Secret {
        /// The variable or file.
        place: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

fn list(problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("{count} in the configuration\n{}", lines.join("\n"))
}

/// What the command line puts in place of the file; `None` leaves the file's word.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--lake`.
    pub lake: Option<String>,
    /// `--endpoint`.
    pub endpoint: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--memory-mib`.
    pub memory_mib: Option<u64>,
    /// `--timeout-seconds`.
    pub timeout_seconds: Option<u64>,
}

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lake {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A place on S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without a slash at either end; empty for the whole bucket.
        prefix: String,
    },
}

impl Lake {
    /// A directory, or `s3://bucket/prefix`. The error is the end of a sentence: `takes ...`.
    pub fn parse(text: &str) -> Result<Lake, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Lake::Directory(PathBuf::from(text)));
        };
        if scheme != "s3" {
            let scheme = scheme.escape_default();
            return Err(format!("takes a directory or `s3://bucket/prefix`, not a URL with `{scheme}`"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if !read::is_bucket(bucket) {
            return Err("takes `s3://bucket/prefix` with the name of a bucket".to_owned());
        }
        if !prefix.is_empty() && prefix.split('/').any(odd) {
            return Err("takes a prefix without empty, `.` or `..` parts".to_owned());
        }
        Ok(Lake::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whether an object of a bucket belongs to the lake itself and must never be read as a log.
    pub fn holds_object(&self, bucket: &str, key: &str) -> bool {
        match self {
            Lake::Directory(_) => false,
            Lake::S3 { bucket: own, prefix } => {
                let below = key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'));
                own == bucket && (prefix.is_empty() || below)
            }
        }
    }
}

impl fmt::Display for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lake::Directory(path) => write!(f, "{}", path.display()),
            Lake::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Lake::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// How AWS is reached. Credentials come from the SDK's chain alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The endpoint of an S3-compatible store.
    pub endpoint: Option<Url>,
    /// The region, when it is not left to the SDK's chain.
    pub region: Option<String>,
}

/// Where log objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An SQS queue with S3 event notifications.
    Sqs {
        /// The URL of the queue.
        queue: Url,
        /// The buckets objects may be fetched from; at least one.
        buckets: Vec<String>,
        /// How many workers receive at once.
        workers: usize,
        /// How long a received message is kept from others.
        visibility_timeout: Duration,
    },
    /// A folder that is watched.
    Folder {
        /// The folder, read with everything below it.
        path: PathBuf,
        /// How often it is listed.
        poll_interval: Duration,
    },
}

/// How log objects become commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// Bytes of decompressed content after which a batch is committed.
    pub batch_bytes: usize,
    /// Rows after which a batch is committed.
    pub batch_rows: usize,
    /// Age after which a batch is committed.
    pub batch_age: Duration,
    /// Threads that decode.
    pub decode_threads: usize,
    /// Largest object as stored, in bytes.
    pub max_object_bytes: usize,
    /// Largest object once decompressed, in bytes.
    pub max_content_bytes: usize,
    /// Formats of flow logs that come without a header, as written.
    pub flow_formats: Vec<String>,
}

/// Which detections run, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detect {
    /// Folders with detections of the user's own.
    pub folders: Vec<PathBuf>,
    /// How often detections run.
    pub interval: Duration,
    /// Whether the detections inside the binary run.
    pub built_in: bool,
    /// Ids of detections that do not run.
    pub disabled: Vec<String>,
}

/// How the daemon keeps the lake in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintain {
    /// How often there is a look for something to do.
    pub interval: Duration,
    /// Whether closed days are compacted.
    pub compact: bool,
    /// How long after its end a day counts as closed.
    pub closed_after: Duration,
    /// Whether many small files of a closed hour are compacted while their day is open.
    pub compact_hours: bool,
    /// How many files that takes.
    pub hour_files: usize,
    /// About how large files become, in bytes.
    pub target_file_bytes: u64,
    /// Memory of a sort, in bytes.
    pub memory_bytes: usize,
    /// After how many days rows are taken out, if ever.
    pub expire_after_days: Option<u64>,
    /// Whether files that no version in use names are deleted.
    pub vacuum: bool,
    /// How long the files of an older version stay.
    pub retain: Duration,
}

/// The limits of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Memory of a query, in bytes.
    pub memory_bytes: usize,
    /// How long a query may run.
    pub timeout: Duration,
    /// Folders with saved queries of the user's own.
    pub folders: Vec<PathBuf>,
}

/// A place alerts are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// The name, unique.
    pub name: String,
    /// Alerts below this are not sent.
    pub minimum_severity: Severity,
    /// Where they go.
    pub target: Target,
}

/// Where a sink sends alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A signed HTTP post per alert.
    Webhook {
        /// Where alerts are posted.
        url: HiddenUrl,
        /// Where the secret that signs is; unsigned without one.
        secret: Option<Secret>,
        /// Whether the host may resolve to a private or local address.
        allow_private_addresses: bool,
        /// Whether the URL may be `http`.
        allow_http: bool,
        /// How long one post may take.
        timeout: Duration,
    },
    /// Lines of JSON in a file.
    JsonLines {
        /// The file alerts are appended to.
        path: PathBuf,
    },
    /// Standard error.
    Terminal,
}

/// A URL of which everything after the host may be a secret: prints without it.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenUrl(Url);

impl HiddenUrl {
    /// A URL to keep from logs and screens.
    pub fn new(url: Url) -> HiddenUrl {
        HiddenUrl(url)
    }

    /// The whole URL: for the request alone, never for a message.
    pub fn reveal(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.0.path() == "/" && self.0.query().is_none() { "/" } else { "/..." };
        write!(f, "{}{rest}", self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HiddenUrl({self})")
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable.
    Environment(String),
    /// In a file.
    File(PathBuf),
}

impl Secret {
    /// The secret's bytes, without the line end of a file. An empty secret is an error.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let (place, read) = match self {
            Secret::Environment(variable) => {
                let unset = || std::io::Error::new(std::io::ErrorKind::NotFound, "the variable is not set");
                let value = std::env::var_os(variable).map(OsString::into_encoded_bytes).ok_or_else(unset);
                (format!("the environment variable `{variable}`"), value)
            }
            Secret::File(path) => (format!("`{}`", path.display()), std::fs::read(path)),
        };
        let secret = read.map(|bytes| bytes.trim_ascii_end().to_vec()).and_then(|bytes| {
            let empty = || std::io::Error::new(std::io::ErrorKind::InvalidData, "the secret is empty");
            if bytes.is_empty() { Err(empty()) } else { Ok(bytes) }
        });
        secret.map_err(|source| Error::Secret { place, source })
    }
}

/// What is in force.
#[derive(Clone)]
pub struct Config {
    /// Where the lake is.
    pub lake: Lake,
    /// How AWS is reached.
    pub aws: Aws,
    /// Where log objects come from.
    pub sources: Vec<Source>,
    /// How log objects become commits.
    pub ingest: Ingest,
    /// Which detections run.
    pub detect: Detect,
    /// How the lake is kept in order.
    pub maintain: Maintain,
    /// The limits of a query.
    pub query: Query,
    /// Where alerts go.
    pub sinks: Vec<Sink>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    blocks: Vec<Block>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// Reads the configuration: the named file, else the one `TRAILHOUND_CONFIG` names, else `./trailhound.toml`
/// when it is there, else the defaults. The command line wins over the environment, the environment over the file.
pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Config, Error> {
    load_from(path, overrides, Path::new(DEFAULT_FILE), &|variable| std::env::var_os(variable))
}

fn load_from(
    path: Option<&Path>,
    overrides: Overrides,
    default_file: &Path,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config, Error> {
    let variable = |name| environment(name).filter(|value| !value.is_empty());
    let named = path.map(Path::to_path_buf).or_else(|| variable(FILE_VARIABLE).map(PathBuf::from));
    let (file, text) = match named {
        Some(path) => (Some(path.clone()), read_text(&path)?),
        None => match read_text(default_file) {
            Ok(text) => (Some(default_file.to_path_buf()), text),
            Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                (None, String::new())
            }
            Err(error) => return Err(error),
        },
    };
    let shown: Arc<Path> = Arc::from(file.as_deref().unwrap_or(default_file));
    let (mut blocks, mut problems) = read::read(&text, &shown);
    for (place, value, origin) in outside(overrides, variable(LAKE_VARIABLE)) {
        problems.extend(read::put(&mut blocks, place, value, &origin).err());
    }
    problems.extend(check::problems(&blocks));
    sort(&mut problems);
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    Ok(resolve(blocks, file))
}

fn read_text(path: &Path) -> Result<String, Error> {
    use std::io::Read as _;

    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    let read = read.and_then(|_| {
        let large = || {
            std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                format!("larger than {MAX_FILE_BYTES} bytes"),
            )
        };
        if text.len() as u64 > MAX_FILE_BYTES { Err(large()) } else { Ok(()) }
    });
    read.map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    Ok(text)
}

type Outside = ((&'static str, &'static str), Value, Origin);

/// What the environment and the command line say, the stronger word last.
fn outside(overrides: Overrides, lake: Option<OsString>) -> Vec<Outside> {
    let text = |value: Option<String>| value.map(Value::Text);
    let lake = lake.map(|lake| lake.to_string_lossy().into_owned());
    let flag = Origin::CommandLine;
    let all = [
        (("", "lake"), text(lake), Origin::Environment(LAKE_VARIABLE)),
        (("", "lake"), text(overrides.lake), flag("--lake")),
        (("aws", "endpoint"), text(overrides.endpoint), flag("--endpoint")),
        (("aws", "region"), text(overrides.region), flag("--region")),
        (("query", "memory_mib"), overrides.memory_mib.map(Value::Integer), flag("--memory-mib")),
        (
            ("query", "timeout_seconds"),
            overrides.timeout_seconds.map(Value::Integer),
            flag("--timeout-seconds"),
        ),
    ];
    all.into_iter().filter_map(|(place, value, origin)| value.map(|value| (place, value, origin))).collect()
}

/// By place: what is outside the file comes last.
fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| match problem.origin {
        Origin::File { line, column, .. } => (line, column),
        _ => (usize::MAX, 0),
    });
}

/// The typed form of blocks that have passed every check.
fn resolve(mut blocks: Vec<Block>, file: Option<PathBuf>) -> Config {
    let lake = lake(&blocks).expect("the lake has been checked");
    read::put_defaults(&mut blocks, &lake);
    let section = |name: &str| {
        blocks.iter().find(|block| block.section.name == name).expect("single sections are always there")
    };
    let ingest = section("ingest");
    let detect = section("detect");
    let maintain = section("maintain");
    let query = section("query");
    Config {
        lake,
        aws: Aws {
            endpoint: url(section("aws"), "endpoint"),
            region: section("aws").text("region").map(str::to_owned),
        },
        sources: blocks.iter().filter_map(source).collect(),
        ingest: Ingest {
            batch_bytes: size(ingest, "batch_bytes"),
            batch_rows: size(ingest, "batch_rows"),
            batch_age: seconds(ingest, "batch_age_seconds"),
            decode_threads: size(ingest, "decode_threads"),
            max_object_bytes: size(ingest, "max_object_bytes"),
            max_content_bytes: size(ingest, "max_content_bytes"),
            flow_formats: ingest.list("flow_formats").to_vec(),
        },
        detect: Detect {
            folders: paths(detect, "folders"),
            interval: seconds(detect, "interval_seconds"),
            built_in: detect.boolean("built_in"),
            disabled: detect.list("disabled").to_vec(),
        },
        maintain: Maintain {
            interval: seconds(maintain, "interval_seconds"),
            compact: maintain.boolean("compact"),
            closed_after: seconds(maintain, "closed_after_seconds"),
            compact_hours: maintain.boolean("compact_hours"),
            hour_files: size(maintain, "hour_files"),
            target_file_bytes: maintain.integer("target_file_bytes"),
            memory_bytes: size(maintain, "memory_mib").saturating_mul(1 << 20),
            expire_after_days: maintain.optional_integer("expire_after_days"),
            vacuum: maintain.boolean("vacuum"),
            retain: seconds(maintain, "retain_seconds"),
        },
        query: Query {
            memory_bytes: size(query, "memory_mib").saturating_mul(1 << 20),
            timeout: seconds(query, "timeout_seconds"),
            folders: paths(query, "folders"),
        },
        sinks: blocks.iter().filter_map(sink).collect(),
        warnings: check::warnings(&blocks),
        file,
        blocks,
    }
}

fn size(block: &Block, name: &str) -> usize {
    usize::try_from(block.integer(name)).unwrap_or(usize::MAX)
}

fn seconds(block: &Block, name: &str) -> Duration {
    Duration::from_secs(block.integer(name))
}

fn url(block: &Block, name: &str) -> Option<Url> {
    block.text(name).and_then(|text| Url::parse(text).ok())
}

/// A path as written, from the directory of the file it is written in.
fn locate(origin: &Origin, written: &str) -> PathBuf {
    let written = written.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(written);
    match origin {
        Origin::File { file, .. } => file.parent().unwrap_or(Path::new("")).join(written),
        _ => PathBuf::from(written),
    }
}

fn path(block: &Block, name: &str) -> Option<PathBuf> {
    block.text(name).map(|text| locate(&block.setting(name).origin, text))
}

fn paths(block: &Block, name: &str) -> Vec<PathBuf> {
    let origin = &block.setting(name).origin;
    block.list(name).iter().map(|text| locate(origin, text)).collect()
}

/// The lake, unless it was refused.
fn lake(blocks: &[Block]) -> Option<Lake> {
    let top = blocks.iter().find(|block| block.section.name.is_empty())?;
    match Lake::parse(top.text("lake")?).ok()? {
        Lake::Directory(_) => path(top, "lake").map(Lake::Directory),
        s3 @ Lake::S3 { .. } => Some(s3),
    }
}

/// The source of a block, unless it is of another section or misses something.
fn source(block: &Block) -> Option<Source> {
    match (block.section.name, block.section.variant) {
        ("source", Some("sqs")) => Some(Source::Sqs {
            queue: url(block, "queue")?,
            buckets: block.list("buckets").to_vec(),
            workers: size(block, "workers"),
            visibility_timeout: seconds(block, "visibility_timeout_seconds"),
        }),
        ("source", Some("folder")) => Some(Source::Folder {
            path: path(block, "path")?,
            poll_interval: seconds(block, "poll_interval_seconds"),
        }),
        _ => None,
    }
}

fn sink(block: &Block) -> Option<Sink> {
    let target = match (block.section.name, block.section.variant) {
        ("sink", Some("webhook")) => Target::Webhook {
            url: HiddenUrl::new(url(block, "url")?),
            secret: secret(block),
            allow_private_addresses: block.boolean("allow_private_addresses"),
            allow_http: block.boolean("allow_http"),
            timeout: seconds(block, "timeout_seconds"),
        },
        ("sink", Some("json_lines")) => Target::JsonLines { path: path(block, "path")? },
        ("sink", Some("terminal")) => Target::Terminal,
        _ => return None,
    };
    let minimum_severity = severity(block.text("minimum_severity")?);
    Some(Sink { name: block.text("name")?.to_owned(), minimum_severity, target })
}

fn secret(block: &Block) -> Option<Secret> {
    let variable = block.text("secret_env").map(|variable| Secret::Environment(variable.to_owned()));
    variable.or_else(|| path(block, "secret_file").map(Secret::File))
}

fn severity(word: &str) -> Severity {
    match word {
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => Severity::Informational,
    }
}

impl Config {
    /// What is in force as TOML, each value with where it came from. No secret is in it.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            if !block.section.name.is_empty() {
                text.extend(["\n", &block.section.header(), "\n"]);
            }
            if let Some(variant) = block.section.variant {
                text.extend(["kind = ", &quote(variant), "\n"]);
            }
            for setting in &block.settings {
                text.push_str(&show_setting(setting));
                text.push('\n');
            }
        }
        text
    }
}

fn show_setting(setting: &read::Setting) -> String {
    let name = setting.key.name;
    let from = comment(&setting.origin);
    let Some(value) = &setting.value else {
        return format!("# {name} is not set");
    };
    let text = |text: &str| match setting.key.kind {
        Kind::Path | Kind::PathList => quote(&locate(&setting.origin, text).to_string_lossy()),
        Kind::Lake if !text.contains("://") => quote(&locate(&setting.origin, text).to_string_lossy()),
        Kind::HiddenUrl => {
            quote(&Url::parse(text).map_or_else(|_| "...".to_owned(), |url| HiddenUrl(url).to_string()))
        }
        _ => quote(text),
    };
    let shown = match value {
        Value::Text(value) => text(value),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| text(item)).collect::<Vec<_>>().join(", "))
        }
    };
    let hidden = if setting.key.kind == Kind::HiddenUrl { "; path hidden" } else { "" };
    format!("{name} = {shown}  # {from}{hidden}")
}

/// The origin on one line: the column says nothing here.
fn comment(origin: &Origin) -> String {
    match origin {
        Origin::File { file, line, .. } => format!("{}:{line}", file.display().to_string().escape_debug()),
        other => other.to_string(),
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(["\\u", &format!("{:04X}", u32::from(c))]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
