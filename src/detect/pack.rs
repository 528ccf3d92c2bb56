//! The rules that run: those inside the binary and those of the user's own folders.
//!
//! Must never leave a broken rule out in silence: every problem is told, at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::detection::{self, Detection, Error, RuleTests};
use crate::query::header::nearest;

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

/// Reads the rules inside the binary, if wanted, and those of the folders, without the disabled ones; or says
/// everything that is wrong with them.
pub fn load(built_in: bool, folders: &[PathBuf], disabled: &[String]) -> Result<Vec<Rule>, Vec<Error>> {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for file in detection::built_in().filter(|_| built_in) {
        let parsed = detection::parse(file.file, file.text)
            .and_then(|detection| Ok((detection, detection::parse_tests(file.file, file.tests)?)));
        match parsed {
            Ok((detection, tests)) => rules.push(Rule { detection, tests: Some(tests), built_in: true }),
            Err(error) => problems.push(error),
        }
    }
    for folder in folders {
        match detection::load_folder(folder) {
            Ok(loaded) => rules.extend(loaded.into_iter().map(|l| Rule {
                detection: l.detection,
                tests: l.tests,
                built_in: false,
            })),
            Err(errors) => problems.extend(errors),
        }
    }
    warn_of_unknown(disabled, &rules);
    rules.retain(|rule| !disabled.contains(&rule.detection.id));
    problems.extend(repeated(&rules));
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn warn_of_unknown(disabled: &[String], rules: &[Rule]) {
    for id in disabled.iter().filter(|id| rules.iter().all(|rule| rule.detection.id != **id)) {
        let near = nearest(id, rules.iter().map(|rule| rule.detection.id.as_str()));
        tracing::warn!(id, nearest = near, "`detect.disabled` names a detection that does not exist");
    }
}

/// An error for each rule with the id of an earlier one.
fn repeated(rules: &[Rule]) -> Vec<Error> {
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for Detection { id, file, .. } in rules.iter().map(|rule| &rule.detection) {
        match files.get(id.as_str()) {
            Some(other) => {
                let other = (*other).to_owned();
                problems.push(Error::SameId { file: file.clone(), id: id.clone(), other });
            }
            None => _ = files.insert(id, file),
        }
    }
    problems
}
