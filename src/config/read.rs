//! The text of a configuration file into blocks of settings, each with its place; every problem is kept, none ends the
//! reading.
//!
//! Must never put a value that may be a secret into a message.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::keys::{Default, Key, Kind, SECTIONS, Section, takes};
use super::{Lake, Origin, Problem};

/// A value of the right type for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Integer(u64),
    Boolean(bool),
    List(Vec<String>),
}

/// What is in force for one key, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub key: &'static Key,
    pub value: Option<Value>,
    pub origin: Origin,
}

/// One table of the file, or what holds in its place: a setting for each key of its section.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub section: &'static Section,
    pub origin: Origin,
    pub settings: Vec<Setting>,
}

impl Block {
    /// A block in which every key has its default.
    pub fn new(section: &'static Section, origin: Origin) -> Block {
        let settings = section.keys.iter().map(default_setting).collect();
        Block { section, origin, settings }
    }

    /// The setting of a key of the section.
    pub fn setting(&self, name: &str) -> &Setting {
        self.settings
            .iter()
            .find(|setting| setting.key.name == name)
            .expect("callers name keys of the section's table")
    }

    /// The key with its section, as named in messages: `ingest.batch_rows`.
    pub fn dotted(&self, name: &str) -> String {
        dotted(self.section.name, name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match &self.setting(name).value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> u64 {
        match self.setting(name).value {
            Some(Value::Integer(number)) => number,
            _ => 0,
        }
    }

    pub fn optional_integer(&self, name: &str) -> Option<u64> {
        self.setting(name).value.as_ref().map(|_| self.integer(name))
    }

    pub fn boolean(&self, name: &str) -> bool {
        matches!(self.setting(name).value, Some(Value::Boolean(true)))
    }

    pub fn list(&self, name: &str) -> &[String] {
        match &self.setting(name).value {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }
}

fn default_setting(key: &'static Key) -> Setting {
    let value = match key.default {
        // Where the lake is, is known later.
        Default::Required | Default::Unset | Default::ByLake { .. } => None,
        Default::Text(text) => Some(Value::Text(text.to_owned())),
        Default::Integer(number) => Some(Value::Integer(number)),
        Default::Boolean(truth) => Some(Value::Boolean(truth)),
        Default::EmptyList => Some(Value::List(Vec::new())),
        Default::Cores => {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Some(Value::Integer(cores as u64))
        }
    };
    Setting { key, value, origin: Origin::Default }
}

/// What is wrong with a value, said as the end of a sentence about its key, and a hint where there is one.
pub(super) struct Fault {
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), hint: None }
    }

    /// The whole sentence.
    fn about(mut self, key: &str) -> Fault {
        self.message = format!("`{}` {}", printable(key), self.message);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

/// The blocks of a file's text. With no text, those of the defaults.
pub(super) fn read(text: &str, file: &Arc<Path>) -> (Vec<Block>, Vec<Problem>) {
    let mut reader = Reader { text, file, blocks: Vec::new(), problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    reader.top(table.get_ref());
    // What is missing from a file that does not parse is noise: the recovery may have dropped it.
    if errors.is_empty() {
        reader.require();
    }
    for error in &errors {
        reader.syntax(error);
    }
    let Reader { mut blocks, problems, .. } = reader;
    for section in SECTIONS {
        let there = blocks.iter().any(|block| std::ptr::eq(block.section, section));
        if section.variant.is_none() && !there {
            blocks.push(Block::new(section, Origin::Default));
        }
    }
    let order = |block: &Block| SECTIONS.iter().position(|section| section.name == block.section.name);
    blocks.sort_by_key(order);
    (blocks, problems)
}

/// Puts the defaults into force that depend on where the lake is.
pub(super) fn put_defaults(blocks: &mut [Block], lake: &Lake) {
    for setting in blocks.iter_mut().flat_map(|block| &mut block.settings) {
        if let (Default::ByLake { directory, s3 }, None) = (setting.key.default, &setting.value) {
            let number = if matches!(lake, Lake::S3 { .. }) { s3 } else { directory };
            setting.value = Some(Value::Integer(number));
        }
    }
}

/// Puts a value from outside the file into force.
pub(super) fn put(
    blocks: &mut [Block],
    (section, name): (&str, &str),
    value: Value,
    origin: &Origin,
) -> Result<(), Problem> {
    let block =
        blocks.iter_mut().find(|block| block.section.name == section && block.section.variant.is_none());
    let setting = block.and_then(|block| block.settings.iter_mut().find(|setting| setting.key.name == name));
    let setting = setting.expect("callers name keys of a section that is always there");
    let fault = match (&value, setting.key.kind) {
        (Value::Text(text), kind) => check_text(kind, text).err(),
        (Value::Integer(number), kind) => check_integer(kind, i128::from(*number)).err(),
        _ => None,
    };
    if let Some(fault) = fault {
        return Err(problem(origin.clone(), dotted(section, name), fault.about(&dotted(section, name))));
    }
    setting.value = Some(value);
    setting.origin = origin.clone();
    Ok(())
}

fn problem(origin: Origin, key: String, fault: Fault) -> Problem {
    Problem { origin, key, message: fault.message, hint: fault.hint }
}

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

type Entry<'t> = (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>);

struct Reader<'t> {
    text: &'t str,
    file: &'t Arc<Path>,
    blocks: Vec<Block>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        let (line, column) = position(self.text, span.start);
        Origin::File { file: self.file.clone(), line, column }
    }

    fn report(&mut self, span: Range<usize>, key: &str, fault: Fault) {
        let origin = self.origin(&span);
        self.problems.push(problem(origin, printable(key), fault));
    }

    /// A line that is not TOML; what the recovery made of it says nothing.
    fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let (line, _) = position(self.text, span.start);
        self.problems.retain(|other| !matches!(other.origin, Origin::File { line: at, .. } if at == line));
        let text = self.text.get(span.clone()).filter(|_| error.message() == "duplicate key");
        let message = match text {
            Some(name) => format!("duplicate key `{name}`"),
            None => error.message().to_owned(),
        };
        self.report(span, "", Fault::new(printable(&message)));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        let top = &SECTIONS[0];
        let mut block = Block::new(top, Origin::Default);
        for (name, value) in table {
            let variants: Vec<&'static Section> =
                SECTIONS[1..].iter().filter(|section| section.name == name.get_ref().as_ref()).collect();
            match variants.first() {
                None => self.setting(&mut block, (name, value)),
                Some(section) if section.variant.is_none() => self.single(section, (name, value)),
                Some(_) => self.list(&variants, (name, value)),
            }
        }
        self.blocks.push(block);
    }

    fn single(&mut self, section: &'static Section, (name, value): Entry<'_>) {
        let Some(table) = value.get_ref().as_table() else {
            let fault = Fault::new("is a table").hint(format!("write `{}`", section.header()));
            self.report(name.span(), section.name, fault.about(section.name));
            return;
        };
        let mut block = Block::new(section, self.origin(&name.span()));
        for entry in table {
            self.setting(&mut block, entry);
        }
        self.blocks.push(block);
    }

    fn list(&mut self, variants: &[&'static Section], (name, value): Entry<'_>) {
        let section = variants[0];
        let no_list = || {
            Fault::new("is a list of tables")
                .hint(format!("write `{}`", section.header()))
                .about(section.name)
        };
        let Some(items) = value.get_ref().as_array() else {
            self.report(name.span(), section.name, no_list());
            return;
        };
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => self.variant(variants, table, item.span()),
                None => self.report(item.span(), section.name, no_list()),
            }
        }
    }

    fn variant(&mut self, variants: &[&'static Section], table: &DeTable<'_>, span: Range<usize>) {
        let words: Vec<&'static str> = variants.iter().filter_map(|section| section.variant).collect();
        let key = dotted(variants[0].name, "kind");
        let Some(kind) = table.get("kind") else {
            let fault = Fault::new("is missing").hint(format!("one of {}", quoted(&words)));
            self.report(span, &key, fault.about(&key));
            return;
        };
        let chosen = kind.get_ref().as_str().and_then(|kind| words.iter().position(|word| *word == kind));
        let Some(chosen) = chosen else {
            let fault = match kind.get_ref().as_str() {
                Some(word) => not_one_of(word, &words),
                None => Fault::new(format!("takes one of {}", quoted(&words))),
            };
            self.report(kind.span(), &key, fault.about(&key));
            return;
        };
        let mut block = Block::new(variants[chosen], self.origin(&span));
        for (name, value) in table {
            if name.get_ref() != "kind" {
                self.setting(&mut block, (name, value));
            }
        }
        self.blocks.push(block);
    }

    fn setting(&mut self, block: &mut Block, (name, value): Entry<'_>) {
        let section = block.section;
        let path = block.dotted(name.get_ref());
        let found = block.settings.iter_mut().find(|setting| setting.key.name == name.get_ref().as_ref());
        let Some(setting) = found else {
            let fault =
                credential(name.get_ref(), section).unwrap_or_else(|| unknown(name.get_ref(), section));
            self.report(name.span(), &path, fault);
            return;
        };
        setting.origin = self.origin(&name.span());
        match convert(setting.key.kind, value) {
            Ok(value) => setting.value = Some(value),
            Err(faults) => {
                // Not missing, only wrong: one problem is enough.
                setting.value = None;
                for (span, fault) in faults {
                    self.report(span, &path, fault.about(&path));
                }
            }
        }
    }

    fn require(&mut self) {
        for block in &self.blocks {
            for setting in &block.settings {
                let missing = setting.value.is_none() && setting.origin == Origin::Default;
                if missing && setting.key.default == Default::Required {
                    let path = block.dotted(setting.key.name);
                    let fault = Fault::new("is missing").hint(setting.key.doc).about(&path);
                    self.problems.push(problem(block.origin.clone(), path, fault));
                }
            }
        }
    }
}

/// Line and column of a byte offset, both from 1, columns in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Text from a file, safe on a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The candidate nearest to a word, when one is near enough to be meant.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

const CREDENTIALS: &[&str] = &[
    "access_key",
    "access_key_id",
    "aws_access_key_id",
    "secret_key",
    "secret_access_key",
    "aws_secret_access_key",
    "session_token",
    "aws_session_token",
    "credentials",
];

const SECRETS: &[&str] = &["secret", "token", "password", "api_key", "signing_secret"];

fn credential(name: &str, section: &Section) -> Option<Fault> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    if CREDENTIALS.contains(&plain.as_str()) {
        let fault = Fault::new("credentials do not belong in this file");
        return Some(fault.hint("set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or run with a role; then remove the key"));
    }
    if section.name == "sink" && SECRETS.contains(&plain.as_str()) {
        let fault = Fault::new("secrets do not belong in this file");
        return Some(
            fault.hint("name an environment variable with `secret_env`, or a file with `secret_file`"),
        );
    }
    None
}

fn unknown(name: &str, section: &'static Section) -> Fault {
    let fault = Fault::new(format!("unknown key `{}`", printable(name)));
    let here = section.keys.iter().map(|key| key.name);
    // At the top, an unknown key may be meant as a section.
    let sections = SECTIONS[1..].iter().map(|other| other.name).filter(|_| section.name.is_empty());
    if let Some(near) = nearest(name, here.chain(sections)) {
        return fault.hint(format!("did you mean `{near}`?"));
    }
    match SECTIONS.iter().find(|other| other.key(name).is_some()) {
        Some(other) if other.name.is_empty() => fault.hint(format!("`{name}` goes above the first header")),
        Some(other) => fault.hint(format!("`{name}` goes under `{}`", other.header())),
        None => {
            let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            fault.hint(format!("the keys here are {}", quoted(&names)))
        }
    }
}

fn not_one_of(word: &str, words: &[&'static str]) -> Fault {
    let fault = Fault::new(format!("takes one of {}, not `{}`", quoted(words), printable(word)));
    match nearest(word, words.iter().copied()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

type Faults = Vec<(Range<usize>, Fault)>;

/// A value of the file as the kind wants it.
fn convert(kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Value, Faults> {
    let at = |fault| vec![(value.span(), fault)];
    match (kind, value.get_ref()) {
        (Kind::Boolean, DeValue::Boolean(truth)) => Ok(Value::Boolean(*truth)),
        (Kind::Integer { .. }, DeValue::Integer(number)) => {
            check_integer(kind, whole(number)).map(Value::Integer).map_err(at)
        }
        (Kind::TextList | Kind::PathList | Kind::BucketList, DeValue::Array(items)) => {
            convert_list(kind, items, value.span())
        }
        (
            Kind::Boolean | Kind::Integer { .. } | Kind::TextList | Kind::PathList | Kind::BucketList,
            other,
        ) => Err(at(wrong_type(kind, other))),
        (_, DeValue::String(text)) => {
            check_text(kind, text).map(|()| Value::Text(text.to_string())).map_err(at)
        }
        (_, other) => Err(at(wrong_type(kind, other))),
    }
}

fn convert_list(kind: Kind, items: &DeArray<'_>, span: Range<usize>) -> Result<Value, Faults> {
    let item_kind = if kind == Kind::PathList { Kind::Path } else { Kind::Text };
    let mut texts = Vec::with_capacity(items.len());
    let mut faults = Faults::new();
    for item in items {
        let checked = match item.get_ref().as_str() {
            Some(text) if kind == Kind::BucketList => check_bucket(text).map(|()| text),
            Some(text) => check_text(item_kind, text).map(|()| text),
            None => Err(wrong_type(item_kind, item.get_ref())),
        };
        match checked {
            Ok(text) => texts.push(text.to_owned()),
            Err(fault) => faults.push((item.span(), fault)),
        }
    }
    if kind == Kind::BucketList && items.is_empty() {
        faults.push((span, Fault::new("takes at least one bucket").hint("write `[\"my-trail-bucket\"]`")));
    }
    if faults.is_empty() { Ok(Value::List(texts)) } else { Err(faults) }
}

fn whole(number: &DeInteger<'_>) -> i128 {
    // The parser has checked the digits: only size can fail here, and such a number is out of every range.
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX)
}

fn wrong_type(kind: Kind, found: &DeValue<'_>) -> Fault {
    let article = if matches!(found, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
    let fault = Fault::new(format!("takes {}, not {article} {}", takes(kind), found.type_str()));
    match (kind, found) {
        (Kind::Integer { .. }, DeValue::String(text)) if text.parse::<i128>().is_ok() => {
            fault.hint(format!("write `{text}` without quotes"))
        }
        (Kind::Boolean, DeValue::String(text)) if matches!(text.as_ref(), "true" | "false") => {
            fault.hint(format!("write `{text}` without quotes"))
        }
        (Kind::TextList | Kind::PathList | Kind::BucketList, DeValue::String(_)) => {
            fault.hint("put it in brackets: `[\"...\"]`")
        }
        _ => fault,
    }
}

fn check_integer(kind: Kind, number: i128) -> Result<u64, Fault> {
    let Kind::Integer { minimum, maximum } = kind else {
        return Err(Fault::new(format!("takes {}", takes(kind))));
    };
    match u64::try_from(number) {
        Ok(number) if minimum <= number && number <= maximum => Ok(number),
        _ => Err(Fault::new(format!("takes {}", takes(kind)))),
    }
}

fn check_text(kind: Kind, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new(format!("takes {}, not an empty text", takes(kind))));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new("has control characters in it"));
    }
    match kind {
        Kind::Lake => Lake::parse(text).map(drop).map_err(Fault::new),
        Kind::Path if text.contains("://") => Err(Fault::new("takes a path on this machine, not a URL")),
        Kind::Url | Kind::HiddenUrl => check_url(text),
        Kind::Variable => check_variable(text),
        Kind::Choice(words) if !words.contains(&text) => Err(not_one_of(text, words)),
        _ => Ok(()),
    }
}

fn check_url(text: &str) -> Result<(), Fault> {
    let Ok(url) = url::Url::parse(text) else {
        return Err(Fault::new("is not a URL").hint("a URL begins with `https://`"));
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::new("takes an `http` or `https` URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("takes a URL without credentials in it"));
    }
    Ok(())
}

fn check_variable(text: &str) -> Result<(), Fault> {
    let right = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    if right {
        return Ok(());
    }
    // The text is not shown: it may be the secret itself.
    Err(Fault::new("is not the name of an environment variable")
        .hint("put the secret into the variable and its name here"))
}

fn check_bucket(text: &str) -> Result<(), Fault> {
    if is_bucket(text) {
        return Ok(());
    }
    Err(Fault::new(format!("takes names of buckets, not `{}`", printable(text)))
        .hint("write the name alone: `my-trail-bucket`"))
}

/// Whether S3 would take the text as the name of a bucket, today's or that of an old one.
pub(super) fn is_bucket(text: &str) -> bool {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().all(right) && (3..=255).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let file: Arc<Path> = Arc::from(Path::new("t.toml"));
        let (_, mut problems) = read(text, &file);
        super::super::sort(&mut problems);
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("\n"), expect, "for\n{text}");
    }

    #[test]
    fn nothing_wrong() {
        check("", "");
        check("lake = 's3://b-b/p'\naws = { region = 'eu-west-1' }\nsource = []", "");
        check("[[sink]]\nkind = 'terminal'", "");
        check("[ingest]\nbatch_rows = 0x10\nbatch_bytes = 1_000_000", "");
    }

    #[test]
    fn unknown_keys() {
        check("lakes = 'x'", "t.toml:1:1: unknown key `lakes`\n  hint: did you mean `lake`?");
        check("[ingets]\n", "t.toml:1:2: unknown key `ingets`\n  hint: did you mean `ingest`?");
        check(
            "\n[[source]]\nkind = 'folder'\npath = 'x'\npoll_interval = 3",
            "t.toml:5:1: unknown key `poll_interval`\n  hint: did you mean `poll_interval_seconds`?",
        );
        check(
            "[aws]\nbatch_rows = 3",
            "t.toml:2:1: unknown key `batch_rows`\n  hint: `batch_rows` goes under `[ingest]`",
        );
        check(
            "[aws]\nlake = 'x'",
            "t.toml:2:1: unknown key `lake`\n  hint: `lake` goes above the first header",
        );
        check(
            "[aws]\nzz = 1",
            "t.toml:2:1: unknown key `zz`\n  hint: the keys here are `endpoint`, `region`",
        );
        check(
            "\"z\\u001b[2J\" = 1",
            "t.toml:1:1: unknown key `z\\u{1b}[2J`\n  hint: the keys here are `lake`",
        );
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        check(
            "[aws]\naccess_key_id = 'AKIAHUSH'",
            "t.toml:2:1: credentials do not belong in this file\n  hint: set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and \
             `AWS_SECRET_ACCESS_KEY`, or run with a role; then remove the key",
        );
        check(
            "[[sink]]\nkind='webhook'\nname='a'\nurl='https://me:hush@x.io/'\nsecret_env='hush-hush'\nsecret='hush'",
            "t.toml:4:5: `sink.url` takes a URL without credentials in it\n\
             t.toml:5:12: `sink.secret_env` is not the name of an environment variable\n  \
             hint: put the secret into the variable and its name here\n\
             t.toml:6:1: secrets do not belong in this file\n  \
             hint: name an environment variable with `secret_env`, or a file with `secret_file`",
        );
    }

    #[test]
    fn wrong_types_and_ranges() {
        check(
            "[ingest]\nbatch_rows = '5'\nbatch_age_seconds = 0\nbatch_bytes = 99999999999999999999\ndecode_threads = -1",
            "t.toml:2:14: `ingest.batch_rows` takes a number from 1 to 10000000, not a string\n  hint: write `5` without quotes\n\
             t.toml:3:21: `ingest.batch_age_seconds` takes a number from 1 to 3600\n\
             t.toml:4:15: `ingest.batch_bytes` takes a number from 1 to 4294967296\n\
             t.toml:5:18: `ingest.decode_threads` takes a number from 1 to 1024",
        );
        check(
            "lake = 5\n[detect]\nfolders = './d'\nbuilt_in = 'true'\ndisabled = ['ok', 3, '']",
            "t.toml:1:8: `lake` takes a directory or `s3://bucket/prefix`, not an integer\n\
             t.toml:3:11: `detect.folders` takes a list of paths, not a string\n  hint: put it in brackets: `[\"...\"]`\n\
             t.toml:4:12: `detect.built_in` takes `true` or `false`, not a string\n  hint: write `true` without quotes\n\
             t.toml:5:19: `detect.disabled` takes text, not an integer\n\
             t.toml:5:22: `detect.disabled` takes text, not an empty text",
        );
        check(
            "lake = 's3a://b/p'",
            "t.toml:1:8: `lake` takes a directory or `s3://bucket/prefix`, not a URL with `s3a`",
        );
    }

    #[test]
    fn variants() {
        check(
            "[[source]]\nkind = 'sqs'\nbuckets = []",
            "t.toml:1:1: `source.queue` is missing\n  hint: The URL of the queue.\n\
             t.toml:3:11: `source.buckets` takes at least one bucket\n  hint: write `[\"my-trail-bucket\"]`",
        );
        check(
            "[[source]]\nkind = 'foldr'\n[[source]]\npath = 'x'",
            "t.toml:2:8: `source.kind` takes one of `sqs`, `folder`, not `foldr`\n  hint: did you mean `folder`?\n\
             t.toml:3:1: `source.kind` is missing\n  hint: one of `sqs`, `folder`",
        );
        check(
            "[source]\nkind = 'folder'\n[[ingest]]\n",
            "t.toml:1:2: `source` is a list of tables\n  hint: write `[[source]]`\n\
             t.toml:3:3: `ingest` is a table\n  hint: write `[ingest]`",
        );
        check(
            "[[source]]\nkind='sqs'\nqueue='sqs.eu/q'\nbuckets=['s3://b/']",
            "t.toml:3:7: `source.queue` is not a URL\n  hint: a URL begins with `https://`\n\
             t.toml:4:10: `source.buckets` takes names of buckets, not `s3://b/`\n  hint: write the name alone: `my-trail-bucket`",
        );
        check(
            "[[sink]]\nkind='terminal'\nminimum_severity='hgih'",
            "t.toml:3:18: `sink.minimum_severity` takes one of `informational`, `low`, `medium`, `high`, `critical`, not `hgih`\n  \
             hint: did you mean `high`?",
        );
    }

    #[test]
    fn text_that_is_not_toml() {
        check(
            "lake = \n[aws]\nreg = 'x'\n",
            "t.toml:1:8: string values must be quoted, expected literal string\n\
             t.toml:3:1: unknown key `reg`\n  hint: did you mean `region`?",
        );
        check(
            "lake = 'a'\nlake = 'b'\nlakes = 1",
            "t.toml:2:1: duplicate key `lake`\n\
             t.toml:3:1: unknown key `lakes`\n  hint: did you mean `lake`?",
        );
        check(
            "lake = 'a\u{1b}\n[aws]\nregion = 'x'",
            "t.toml:1:10: invalid literal string, expected non-single-quote visible characters",
        );
        check("[[source]]\nkind = 'sqs' x", "t.toml:2:14: unexpected key or value, expected newline, `#`");
    }

    #[test]
    fn columns_count_characters() {
        check(
            "aws = { 'ä' = 1, reg = 'x' }",
            "t.toml:1:9: unknown key `ä`\n  hint: the keys here are `endpoint`, `region`\n\
             t.toml:1:18: unknown key `reg`\n  hint: did you mean `region`?",
        );
    }
}
