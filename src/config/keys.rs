//! The one table of configuration keys: it drives reading, checking, `config show` and the documentation.
//!
//! Must never hold a secret's default or logic: a key is data.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not empty.
    Text,
    /// A directory or `s3://bucket/prefix`.
    Lake,
    /// A path; relative ones count from the directory of the configuration file.
    Path,
    /// An `http` or `https` URL without credentials in it.
    Url,
    /// A URL of which everything after the host may be a secret: never shown.
    HiddenUrl,
    /// The name of an environment variable.
    Variable,
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range, both ends included.
    Integer {
        /// The smallest value.
        minimum: u64,
        /// The largest value.
        maximum: u64,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A list of texts that are not empty.
    TextList,
    /// A list of paths; relative ones count from the directory of the configuration file.
    PathList,
    /// A list of names of buckets, at least one.
    BucketList,
}

/// What holds when a key is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It has to be given.
    Required,
    /// Nothing: the key is optional.
    Unset,
    /// This text.
    Text(&'static str),
    /// This number.
    Integer(u64),
    /// This truth value.
    Boolean(bool),
    /// The empty list.
    EmptyList,
    /// As many as the machine has cores.
    Cores,
    /// A number that depends on where the lake is.
    ByLake {
        /// For a lake in a directory.
        directory: u64,
        /// For a lake on S3.
        s3: u64,
    },
}

/// One key: its name, what it takes, what holds without it, and a line of documentation.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name in the file, `snake_case`, unit last.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not given.
    pub default: Default,
    /// One line for a person.
    pub doc: &'static str,
}

/// A table of the file. A section with a `variant` is one form of a list of tables, told apart by the key `kind`.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The name in the file; empty for the keys before the first header.
    pub name: &'static str,
    /// The value of `kind` for a `[[name]]` section.
    pub variant: Option<&'static str>,
    /// One line for a person.
    pub doc: &'static str,
    /// The keys in the order they are shown; `kind` is not among them.
    pub keys: &'static [Key],
}

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The header as written in the file: `[ingest]`, `[[sink]]`, or empty for the top.
    pub fn header(&self) -> String {
        match (self.name, self.variant) {
            ("", _) => String::new(),
            (name, None) => format!("[{name}]"),
            (name, Some(_)) => format!("[[{name}]]"),
        }
    }
}

/// The words of a severity, from the least to the worst.
pub(super) const SEVERITIES: &[&str] = &["informational", "low", "medium", "high", "critical"];

const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

const fn range(minimum: u64, maximum: u64) -> Kind {
    Kind::Integer { minimum, maximum }
}

const fn minimum_severity(default: &'static str) -> Key {
    key(
        "minimum_severity",
        Kind::Choice(SEVERITIES),
        Default::Text(default),
        "Alerts below this are not sent here.",
    )
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Every section, in the order it is shown.
pub static SECTIONS: &[Section] = &[
    Section { name: "", variant: None, doc: "Before the first header.", keys: TOP },
    Section {
        name: "aws",
        variant: None,
        doc: "How AWS is reached. Credentials come from the AWS SDK's chain (environment, profile, role) and never from this file.",
        keys: AWS,
    },
    Section {
        name: "source",
        variant: Some("sqs"),
        doc: "An SQS queue with S3 event notifications.",
        keys: SOURCE_SQS,
    },
    Section {
        name: "source",
        variant: Some("folder"),
        doc: "A folder of log files that is watched.",
        keys: SOURCE_FOLDER,
    },
    Section {
        name: "ingest",
        variant: None,
        doc: "How log objects become commits, and how large they may be.",
        keys: INGEST,
    },
    Section { name: "detect", variant: None, doc: "Which detections run, and how often.", keys: DETECT },
    Section {
        name: "maintain",
        variant: None,
        doc: "What the daemon does to keep the lake in order; `trailhound lake` does the same by hand.",
        keys: MAINTAIN,
    },
    Section {
        name: "query",
        variant: None,
        doc: "The limits of a query, and saved queries of your own.",
        keys: QUERY,
    },
    Section {
        name: "sink",
        variant: Some("webhook"),
        doc: "Alerts as signed HTTP posts.",
        keys: SINK_WEBHOOK,
    },
    Section {
        name: "sink",
        variant: Some("json_lines"),
        doc: "Alerts as lines of JSON in a file.",
        keys: SINK_JSON_LINES,
    },
    Section {
        name: "sink",
        variant: Some("terminal"),
        doc: "Alerts on standard error.",
        keys: SINK_TERMINAL,
    },
];

static TOP: &[Key] = &[key(
    "lake",
    Kind::Lake,
    Default::Text("./lake"),
    "Where the lake is: a directory or `s3://bucket/prefix`.",
)];

static AWS: &[Key] = &[
    key(
        "endpoint",
        Kind::Url,
        Default::Unset,
        "The endpoint of all AWS requests, to S3 and SQS alike: for a store that speaks S3, or an emulator.",
    ),
    key("region", Kind::Text, Default::Unset, "The region; without it, the one of the AWS SDK's chain."),
];

static SOURCE_SQS: &[Key] = &[
    key("queue", Kind::Url, Default::Required, "The URL of the queue."),
    key(
        "buckets",
        Kind::BucketList,
        Default::Required,
        "The buckets objects may be fetched from; notifications that name another are refused.",
    ),
    key("workers", range(1, 256), Default::Integer(2), "How many workers receive from the queue at once."),
    key(
        "visibility_timeout_seconds",
        range(30, 43_200),
        Default::Integer(300),
        "How long a received message is kept from others; extended while it is worked on.",
    ),
];

static SOURCE_FOLDER: &[Key] = &[
    key(
        "path",
        Kind::Path,
        Default::Required,
        "The folder, read with everything below it. Move files there whole: one that changes after it was read is another object.",
    ),
    key("poll_interval_seconds", range(1, 3_600), Default::Integer(5), "How often the folder is listed."),
];

static INGEST: &[Key] = &[
    key(
        "batch_bytes",
        range(1, 4 * GIB),
        Default::Integer(128 * MIB),
        "Bytes of decompressed content after which a batch is committed.",
    ),
    key(
        "batch_rows",
        range(1, 10_000_000),
        Default::Integer(500_000),
        "Rows after which a batch is committed.",
    ),
    key(
        "batch_age_seconds",
        range(1, 3_600),
        Default::ByLake { directory: 5, s3: 30 },
        "Age after which a batch is committed: up to a minute in a backlog, which is when most of it was announced over a minute ago.",
    ),
    key(
        "decode_threads",
        range(1, 1_024),
        Default::Cores,
        "Threads that read and write rows in the daemon; half of the groups of files that `ingest` has under way.",
    ),
    key(
        "max_object_bytes",
        range(KIB, 64 * GIB),
        Default::Integer(512 * MIB),
        "Largest object as stored; larger ones of a bucket are quarantined, larger files are told and not read.",
    ),
    key(
        "max_content_bytes",
        range(KIB, 64 * GIB),
        Default::Integer(2 * GIB),
        "Largest object once decompressed; larger ones are quarantined. What is neither a list of records nor a flow log stops at 256 MiB.",
    ),
    key(
        "flow_formats",
        Kind::TextList,
        Default::EmptyList,
        "Formats of flow logs that come without a header, as AWS shows them: `${version} ${srcaddr} ...`.",
    ),
];

static DETECT: &[Key] = &[
    key(
        "folders",
        Kind::PathList,
        Default::EmptyList,
        "Folders with detections of your own; see docs/detections.md.",
    ),
    key(
        "interval_seconds",
        range(1, DAY_SECONDS),
        Default::Integer(60),
        "The least time from one run of the detections to the next; without new commits they run every ten minutes.",
    ),
    key("built_in", Kind::Boolean, Default::Boolean(true), "Whether the detections inside the binary run."),
    key("disabled", Kind::TextList, Default::EmptyList, "Ids of detections that do not run."),
];

static MAINTAIN: &[Key] = &[
    key(
        "interval_seconds",
        range(1, 7 * DAY_SECONDS),
        Default::Integer(3_600),
        "How often there is a look for something to do; first no later than five minutes after the start.",
    ),
    key(
        "compact",
        Kind::Boolean,
        Default::Boolean(true),
        "Whether closed days are made into few sorted files without duplicates.",
    ),
    key(
        "closed_after_seconds",
        range(0, 30 * DAY_SECONDS),
        Default::Integer(DAY_SECONDS / 4),
        "How long after its end (UTC) a day counts as closed.",
    ),
    key(
        "compact_hours",
        Kind::Boolean,
        Default::Boolean(true),
        "Whether, with `compact`, the many small files of an hour that ended are made into one while their day is not closed.",
    ),
    key(
        "hour_files",
        range(2, 10_000),
        Default::Integer(20),
        "How many files of an hour that takes, of together less than `target_file_bytes`.",
    ),
    key(
        "target_file_bytes",
        range(MIB, 4 * GIB),
        Default::Integer(384 * MIB),
        "About how large the files of a closed day become.",
    ),
    key(
        "memory_mib",
        range(64, 1_048_576),
        Default::Integer(512),
        "Memory of a sort in MiB; beyond it the sort spills to disk.",
    ),
    key(
        "expire_after_days",
        range(1, 36_500),
        Default::Unset,
        "Days after which rows of log objects are taken out for good, by the day of the event; not set, they stay.",
    ),
    key(
        "vacuum",
        Kind::Boolean,
        Default::Boolean(true),
        "Whether files are deleted that no version in use names.",
    ),
    key(
        "retain_seconds",
        range(3_600, 3_650 * DAY_SECONDS),
        Default::Integer(7 * DAY_SECONDS),
        "How long the files of an older version stay for those who still read it.",
    ),
];

static QUERY: &[Key] = &[
    key(
        "memory_mib",
        range(64, 1_048_576),
        Default::Integer(1_024),
        "Memory of a query in MiB; beyond it the query spills to disk or fails.",
    ),
    key("timeout_seconds", range(1, DAY_SECONDS), Default::Integer(300), "How long a query may run."),
    key("folders", Kind::PathList, Default::EmptyList, "Folders with saved queries of your own."),
];

static SINK_WEBHOOK: &[Key] = &[
    key("name", Kind::Text, Default::Required, "The name; what was delivered is remembered under it."),
    key("url", Kind::HiddenUrl, Default::Required, "Where alerts are posted."),
    key(
        "secret_env",
        Kind::Variable,
        Default::Unset,
        "The environment variable with the secret that signs each post.",
    ),
    key("secret_file", Kind::Path, Default::Unset, "The file with the secret that signs each post."),
    key(
        "allow_private_addresses",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether the host may resolve to a private or local address.",
    ),
    key("allow_http", Kind::Boolean, Default::Boolean(false), "Whether the URL may be `http`."),
    key("timeout_seconds", range(1, 120), Default::Integer(10), "How long one post may take."),
    minimum_severity("medium"),
];

static SINK_JSON_LINES: &[Key] = &[
    key("name", Kind::Text, Default::Required, "The name; what was delivered is remembered under it."),
    key("path", Kind::Path, Default::Required, "The file alerts are appended to."),
    minimum_severity("informational"),
];

static SINK_TERMINAL: &[Key] = &[
    key(
        "name",
        Kind::Text,
        Default::Text("terminal"),
        "The name; what was delivered is remembered under it.",
    ),
    minimum_severity("informational"),
];

/// The keys as Markdown: one table per section.
pub fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&title(section));
        text.push_str("\n\n");
        text.push_str(section.doc);
        text.push_str("\n\n| key | takes | default | what it does |\n|---|---|---|---|\n");
        for key in section.keys {
            let row = format!("| `{}` | {} | {} | {} |\n", key.name, takes(key.kind), default(key), key.doc);
            text.push_str(&row);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn title(section: &Section) -> String {
    match section.variant {
        Some(variant) => format!("## `[[{}]]` with `kind = \"{variant}\"`", section.name),
        None if section.name.is_empty() => "## Top".to_owned(),
        None => format!("## `[{}]`", section.name),
    }
}

/// What a kind takes, in words.
pub(super) fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Lake => "a directory or `s3://bucket/prefix`".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Url | Kind::HiddenUrl => "a URL".to_owned(),
        Kind::Variable => "the name of an environment variable".to_owned(),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { minimum, maximum } => format!("a number from {minimum} to {maximum}"),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::TextList => "a list of texts".to_owned(),
        Kind::PathList => "a list of paths".to_owned(),
        Kind::BucketList => "a list of bucket names".to_owned(),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Required => "required".to_owned(),
        Default::Unset => "not set".to_owned(),
        Default::Text(text) => format!("`\"{text}\"`"),
        Default::Integer(number) => format!("`{number}`"),
        Default::Boolean(truth) => format!("`{truth}`"),
        Default::EmptyList => "`[]`".to_owned(),
        Default::Cores => "one per core".to_owned(),
        Default::ByLake { directory, s3 } => format!("`{directory}`, with the lake on S3 `{s3}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_fit_their_kind() {
        let mut sections = HashSet::new();
        for section in SECTIONS {
            assert!(sections.insert((section.name, section.variant)), "{}", section.header());
            let mut names = HashSet::new();
            for key in section.keys {
                assert!(names.insert(key.name), "{} {}", section.header(), key.name);
                assert_ne!(key.name, "kind", "`kind` tells variants apart");
                assert!(key.doc.ends_with('.'), "{}", key.name);
                let fits = match (key.kind, key.default) {
                    (Kind::Integer { minimum, maximum }, Default::Integer(n)) => minimum <= n && n <= maximum,
                    (Kind::Integer { minimum, maximum }, Default::ByLake { directory, s3 }) => {
                        [directory, s3].iter().all(|n| minimum <= *n && *n <= maximum)
                    }
                    (Kind::Choice(words), Default::Text(word)) => words.contains(&word),
                    (Kind::Integer { .. }, Default::Cores)
                    | (Kind::Boolean, Default::Boolean(_))
                    | (Kind::TextList | Kind::PathList, Default::EmptyList)
                    | (Kind::Lake | Kind::Text, Default::Text(_))
                    | (_, Default::Required | Default::Unset) => true,
                    _ => false,
                };
                assert!(fits, "{} {}", section.header(), key.name);
            }
        }
    }

    #[test]
    fn integers_name_their_unit() {
        let units = ["_seconds", "_bytes", "_rows", "_mib", "_threads", "_files", "_days", "workers"];
        for key in SECTIONS.iter().flat_map(|section| section.keys) {
            if matches!(key.kind, Kind::Integer { .. }) {
                assert!(units.iter().any(|unit| key.name.ends_with(unit)), "{}", key.name);
            }
        }
    }

    #[test]
    fn reference_has_every_key_once_per_section() {
        let text = reference();
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, SECTIONS.iter().map(|section| section.keys.len()).sum::<usize>());
        assert!(text.contains("## `[[sink]]` with `kind = \"webhook\"`\n"));
        assert!(text.contains("| `workers` | a number from 1 to 256 | `2` | How many workers"));
        assert!(text.lines().all(|line| !line.starts_with('|') || line.matches('|').count() == 5));
    }
}
