//! The rules that run: those inside the binary and those of the user's own folders.
//!
//! Must never leave a broken rule out in silence: every problem is told, at once.

use std::collections::HashMap;
use std::path::PathBuf;

use super::detection::{self, Detection, RuleTests};

/// A rule and the tests beside it.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The rule.
    pub detection: Detection,
    /// Its tests.
    pub tests: Option<RuleTests>,
    /// Whether it is inside the binary.
    pub built_in: bool,
}

/// What cannot be read of a pack of rules.
#[derive(Debug, thiserror::Error)]
#[error("{} of the rules cannot be used\n{}", .0.len(), lines(.0))]
pub struct Error(Vec<Problem>);

/// One thing that is wrong with the rules.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file is not a rule.
    #[error("{}", with_cause(.0))]
    File(detection::Error),
    /// A rule of the user's own has the id of another rule.
    #[error("`{file}` has the id `{id}`, which is that of `{other}`")]
    SameId {
        /// The file.
        file: String,
        /// The id.
        id: String,
        /// The other file.
        other: String,
    },
    /// A rule that is to be left out is not there.
    #[error("`detect.disabled` names `{id}`, and there is no such rule")]
    NoSuchRule {
        /// The id.
        id: String,
    },
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}

fn with_cause(error: &detection::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Reads the rules inside the binary, if wanted, and those of the folders; leaves out the disabled ones.
pub fn load(built_in: bool, folders: &[PathBuf], disabled: &[String]) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for file in detection::built_in().filter(|_| built_in) {
        let parsed = detection::parse(file.file, file.text)
            .and_then(|detection| Ok((detection, detection::parse_tests(file.file, file.tests)?)));
        match parsed {
            Ok((detection, tests)) => rules.push(Rule { detection, tests: Some(tests), built_in: true }),
            Err(error) => problems.push(Problem::File(error)),
        }
    }
    for folder in folders {
        match detection::load_folder(folder) {
            Ok(loaded) => rules.extend(loaded.into_iter().map(|l| Rule {
                detection: l.detection,
                tests: l.tests,
                built_in: false,
            })),
            Err(errors) => problems.extend(errors.into_iter().map(Problem::File)),
        }
    }
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for Detection { id, file, .. } in rules.iter().map(|rule| &rule.detection) {
        if let Some(other) = seen.insert(id, file) {
            problems.push(Problem::SameId { file: file.clone(), id: id.clone(), other: other.to_owned() });
        }
    }
    let missing = disabled.iter().filter(|id| !seen.contains_key(id.as_str()));
    problems.extend(missing.map(|id| Problem::NoSuchRule { id: id.clone() }));
    if !problems.is_empty() {
        return Err(Error(problems));
    }
    rules.retain(|rule| !disabled.contains(&rule.detection.id));
    Ok(rules)
}
