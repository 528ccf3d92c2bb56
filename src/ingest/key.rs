//! Keys that S3 allows and that this client cannot ask for: its paths have no empty segments, no `.` and `..`, no
//! control characters and no slash at an end.
//!
//! Must never mend a key: what would be asked for in its place is another object, or the same one under a second name.

use object_store::path::Path;

/// Why a key cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that this client cannot ask for: {fault}{}", if *.is_folder { ", and so with all keys below it" } else { "" })]
pub struct Unaskable {
    fault: &'static str,
    /// Up to here in bytes the key is read, with the segment that is at fault.
    end: usize,
    /// Whether that segment is a folder: no key below can be asked for either.
    is_folder: bool,
}

impl Unaskable {
    /// The beginning of the key up to what is at fault, and whether every key that begins so cannot be asked for.
    pub(super) fn part(self, key: &str) -> (&str, bool) {
        (key.get(..self.end).unwrap_or(key), self.is_folder)
    }
}

/// The path that asks for a key, and for no other.
pub(super) fn path(key: &str) -> Result<Path, Unaskable> {
    check(key)?;
    let whole = Unaskable { fault: "it is no path", end: key.len(), is_folder: false };
    Path::parse(key).ok().filter(|path| path.as_ref() == key).ok_or(whole)
}

fn check(key: &str) -> Result<(), Unaskable> {
    let mut end = 0;
    for segment in key.split_inclusive('/') {
        end += segment.len();
        let (name, is_folder) = segment.strip_suffix('/').map_or((segment, false), |name| (name, true));
        let fault = match name {
            "" => "it has an empty segment",
            "." | ".." => "it has a segment `.` or `..`",
            name if name.contains(|character: char| character.is_ascii_control()) => {
                "it has a control character"
            }
            _ => continue,
        };
        return Err(Unaskable { fault, end, is_folder });
    }
    if key.is_empty() || key.ends_with('/') {
        return Err(Unaskable { fault: "it ends in `/`", end, is_folder: false });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_asked_for_as_it_is_or_not_at_all() {
        for (key, expected) in [
            ("a", Ok(())),
            ("AWSLogs/1/a b+c%20\u{fc}~.json.gz", Ok(())),
            ("a/...", Ok(())),
            ("", Err(("", false))),
            ("a/", Err(("a/", false))),
            ("a/b/", Err(("a/b/", false))),
            ("/", Err(("/", true))),
            ("/a/b", Err(("/", true))),
            ("a//b/c", Err(("a//", true))),
            ("a//", Err(("a//", true))),
            ("a/../b", Err(("a/../", true))),
            ("a/..", Err(("a/..", false))),
            ("a/./b", Err(("a/./", true))),
            ("a/b\u{1}c/d//", Err(("a/b\u{1}c/", true))),
            ("a/b\u{7f}", Err(("a/b\u{7f}", false))),
            ("a\n", Err(("a\n", false))),
        ] {
            let told = path(key).map_err(|fault| fault.part(key));
            assert_eq!(told, expected.map(|()| Path::parse(key).unwrap()), "{key:?}");
            // Whatever the client would change or refuse is refused here, and for a reason of our own.
            let kept = Path::parse(key).is_ok_and(|path| path.as_ref() == key);
            assert_eq!(check(key).is_ok(), kept && !key.is_empty(), "{key:?}");
        }
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        let told = |key: &str| path(key).unwrap_err().to_string();
        assert_eq!(told("a/"), "a key that this client cannot ask for: it ends in `/`");
        assert_eq!(
            told("a//b"),
            "a key that this client cannot ask for: it has an empty segment, and so with all keys below it"
        );
    }
}
