//! The layers of the crate are those its root documents: a module uses only modules below it.

use std::collections::BTreeMap;
use std::path::Path;

/// The layers of the table in `lib.rs`, top first; modules of one row are on one level.
fn layers(root: &str) -> BTreeMap<String, usize> {
    let rows = root.lines().filter(|line| line.starts_with("//! | ["));
    let mut levels = BTreeMap::new();
    for (level, row) in rows.enumerate() {
        let cell = row.split('|').nth(1).expect("a first cell");
        for module in
            cell.split(['[', ']', '`', ' ']).filter(|word| word.chars().any(|c| c.is_ascii_lowercase()))
        {
            levels.insert(module.to_owned(), level);
        }
    }
    levels
}

/// Every `crate::module` a file names outside its tests.
fn uses(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            // `use crate::{a, b::c}` names several.
            let names = part.strip_prefix('{').map_or(vec![part], |list| list.split(',').collect());
            for name in names {
                let name: String =
                    name.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                found.push(name);
            }
        }
    }
    found
}

fn rust_files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_use_only_what_is_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = std::fs::read_to_string(source.join("lib.rs")).expect("the root");
    let levels = layers(&root);
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&source).expect("below the root");
        let first = inside.components().next().expect("a component").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if ["lib", "main"].contains(&module.as_str()) || inside.ends_with("tests.rs") {
            continue;
        }
        let level = *levels.get(&module).unwrap_or_else(|| panic!("`{module}` is in no layer of lib.rs"));
        for used in uses(&std::fs::read_to_string(file).expect("a source file")) {
            if used == module {
                continue;
            }
            match levels.get(&used) {
                Some(below) if *below > level => {}
                Some(below) if *below == level && level == levels["clock"] => {}
                Some(_) => wrong.push(format!("{} uses `{used}`", inside.display())),
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(levels.len() >= 14, "{levels:?}");
}
