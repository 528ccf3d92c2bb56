//! What is wrong between settings that are each right: loops, overlaps, doubles.
//!
//! Must never touch the network; the file system is asked only where a symbolic link leads.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::read::Block;
use super::{Lake, Origin, Problem, lake, path};

/// Everything that may not be.
pub(super) fn problems(blocks: &[Block]) -> Vec<Problem> {
    let mut problems = Vec::new();
    lake_in_bucket(blocks, &mut problems);
    folders(blocks, &mut problems);
    repeated(blocks, ("sink", "name"), "two sinks are named", &mut problems);
    repeated(blocks, ("source", "queue"), "two sources receive from", &mut problems);
    webhooks(blocks, &mut problems);
    problems
}

/// What may be but is probably not meant.
pub(super) fn warnings(blocks: &[Block]) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let Some(Lake::S3 { bucket, prefix }) = lake(blocks) else { return warnings };
    for block in sources(blocks, "sqs") {
        if !prefix.is_empty() && block.list("buckets").contains(&bucket) {
            let message = format!("the lake is in the bucket `{bucket}`, which this source reads");
            let hint =
                format!("let the bucket send notifications for the log prefix alone, not for `{prefix}/`");
            warnings.push(problem(block, "buckets", message, Some(hint)));
        }
    }
    warnings
}

fn problem(block: &Block, key: &str, message: String, hint: Option<String>) -> Problem {
    let setting = &block.setting(key).origin;
    let origin = if *setting == Origin::Default { &block.origin } else { setting };
    Problem { origin: origin.clone(), key: block.dotted(key), message, hint }
}

fn sources<'b>(blocks: &'b [Block], variant: &'static str) -> impl Iterator<Item = &'b Block> {
    blocks
        .iter()
        .filter(move |block| block.section.name == "source" && block.section.variant == Some(variant))
}

/// The lake at the root of a bucket that is a source: every commit would announce itself as a log.
fn lake_in_bucket(blocks: &[Block], problems: &mut Vec<Problem>) {
    let Some(Lake::S3 { bucket, prefix }) = lake(blocks) else { return };
    for block in sources(blocks, "sqs") {
        if prefix.is_empty() && block.list("buckets").contains(&bucket) {
            let message = format!(
                "the lake is the whole bucket `{bucket}`, which this source reads: it would ingest itself"
            );
            let hint = format!("give the lake a bucket of its own, or a prefix: `s3://{bucket}/lake`");
            problems.push(problem(block, "buckets", message, Some(hint)));
        }
    }
}

/// The lake within a source folder or the other way round, and source folders within one another.
fn folders(blocks: &[Block], problems: &mut Vec<Problem>) {
    let lake = match lake(blocks) {
        Some(Lake::Directory(path)) => Some(real(&path)),
        _ => None,
    };
    let mut before: Vec<PathBuf> = Vec::new();
    for block in sources(blocks, "folder") {
        let Some(folder) = path(block, "path").map(|path| real(&path)) else { continue };
        if let Some(lake) = lake.as_ref().filter(|lake| nested(lake, &folder)) {
            let relation = if lake.starts_with(&folder) { "inside" } else { "around" };
            let message = format!("the lake is {relation} this source folder: it would ingest itself");
            let hint = "keep the lake and the folders of logs apart".to_owned();
            problems.push(problem(block, "path", message, Some(hint)));
        }
        if before.iter().any(|other| nested(other, &folder)) {
            let message = "this source folder overlaps with another: its logs would be read twice".to_owned();
            problems.push(problem(block, "path", message, None));
        }
        before.push(folder);
    }
}

fn nested(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn repeated(blocks: &[Block], (section, key): (&str, &'static str), what: &str, problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, &Block> = HashMap::new();
    for block in
        blocks.iter().filter(|block| block.section.name == section && block.section.key(key).is_some())
    {
        let Some(value) = block.text(key) else { continue };
        if let Some(earlier) = first.get(value) {
            let message = format!("{what} `{value}`");
            let hint = format!("the other is at {}", place(earlier));
            problems.push(problem(block, key, message, Some(hint)));
        } else {
            first.insert(value, block);
        }
    }
}

fn place(block: &Block) -> String {
    block.origin.to_string()
}

fn webhooks(blocks: &[Block], problems: &mut Vec<Problem>) {
    for block in blocks.iter().filter(|block| block.section.variant == Some("webhook")) {
        if block.text("secret_env").is_some() && block.text("secret_file").is_some() {
            let message = "`sink.secret_env` and `sink.secret_file` are both given".to_owned();
            problems.push(problem(block, "secret_file", message, Some("keep one of them".to_owned())));
        }
        let plain = super::url(block, "url").is_some_and(|url| url.scheme() == "http");
        if plain && !block.boolean("allow_http") {
            let message = "`sink.url` takes an `https` URL".to_owned();
            let hint =
                "alerts would travel unencrypted; if that is meant, add `allow_http = true`".to_owned();
            problems.push(problem(block, "url", message, Some(hint)));
        }
    }
}

/// The path with no `.`, `..` or symbolic link in it, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut exists = absolute.clone();
    let mut rest: Vec<OsString> = Vec::new();
    loop {
        if let Ok(found) = exists.canonicalize() {
            exists = found;
            break;
        }
        // `..` of a directory that is not there: nothing but the text can say where it leads.
        let last = exists.components().next_back().map(|last| last.as_os_str().to_os_string());
        if !exists.pop() {
            break;
        }
        rest.extend(last);
    }
    for part in rest.into_iter().rev() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => drop(exists.pop()),
            _ => exists.push(part),
        }
    }
    exists
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::read::read;
    use super::*;

    fn check(text: &str, expect: &str) {
        let file: Arc<Path> = Arc::from(Path::new("t.toml"));
        let (blocks, none) = read(text, &file);
        assert_eq!(none, [], "for\n{text}");
        let mut found = problems(&blocks);
        super::super::sort(&mut found);
        found.extend(warnings(&blocks));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("\n"), expect, "for\n{text}");
    }

    #[test]
    fn lake_and_folders() {
        let folder =
            |lake: &str, path: &str| format!("lake = '{lake}'\n[[source]]\nkind = 'folder'\npath = '{path}'");
        let inside = "t.toml:4:1: the lake is inside this source folder: it would ingest itself\n  hint: keep the lake and the folders of logs apart";
        let around = "t.toml:4:1: the lake is around this source folder: it would ingest itself\n  hint: keep the lake and the folders of logs apart";
        check(&folder("x/lake", "x"), inside);
        check(&folder("x", "x"), inside);
        check(&folder("./a/../x/lake", "x/."), inside);
        check(&folder("x", "x/logs"), around);
        check(&folder("x/lake", "x/logs"), "");
        check(&folder("x/lake", "x/la"), "");
        check(&folder("s3://bucket/lake", "lake"), "");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("logs")).unwrap();
        std::os::unix::fs::symlink(root.path().join("logs"), root.path().join("link")).unwrap();
        let at = root.path().display();
        check(
            &format!("lake = '{at}/link/new/lake'\n[[source]]\nkind = 'folder'\npath = '{at}/logs'"),
            "t.toml:4:1: the lake is inside this source folder: it would ingest itself\n  hint: keep the lake and the folders of logs apart",
        );
    }

    #[test]
    fn folders_overlap() {
        check(
            "[[source]]\nkind = 'folder'\npath = 'a/b'\n[[source]]\nkind = 'folder'\npath = 'a'",
            "t.toml:6:1: this source folder overlaps with another: its logs would be read twice",
        );
    }

    #[test]
    fn lake_in_a_source_bucket() {
        let sqs = |lake: &str| {
            format!(
                "lake = '{lake}'\n[[source]]\nkind = 'sqs'\nqueue = 'https://q.io/1/q'\nbuckets = ['trail']"
            )
        };
        check(
            &sqs("s3://trail/"),
            "t.toml:5:1: the lake is the whole bucket `trail`, which this source reads: it would ingest itself\n  \
             hint: give the lake a bucket of its own, or a prefix: `s3://trail/lake`",
        );
        check(
            &sqs("s3://trail/lake"),
            "t.toml:5:1: the lake is in the bucket `trail`, which this source reads\n  \
             hint: let the bucket send notifications for the log prefix alone, not for `lake/`",
        );
        check(&sqs("s3://other"), "");
    }

    #[test]
    fn doubles_and_webhooks() {
        check(
            "[[sink]]\nkind = 'terminal'\n[[sink]]\nkind = 'json_lines'\nname = 'terminal'\npath = 'a'",
            "t.toml:5:1: two sinks are named `terminal`\n  hint: the other is at t.toml:1:1",
        );
        check(
            "[[sink]]\nkind='webhook'\nname='a'\nurl='http://x.io/'\nsecret_env='A'\nsecret_file='b'",
            "t.toml:4:1: `sink.url` takes an `https` URL\n  hint: alerts would travel unencrypted; if that is meant, add `allow_http = true`\n\
             t.toml:6:1: `sink.secret_env` and `sink.secret_file` are both given\n  hint: keep one of them",
        );
        check("[[sink]]\nkind='webhook'\nname='a'\nurl='http://x.io/'\nallow_http=true", "");
    }
}
