//! Content that is no log, but is often found in the place of one: named, so that it is known what to do.
//!
//! Must never refuse what could be a log.

use crate::decode::{self, ErrorKind, vpc_flow};

/// How content begins that is no log, but is often found in the place of one.
const OTHER_CONTENT: [(&[u8], &str); 12] = [
    (b"\xff\xfe", "UTF-16 text, which no log is delivered as: convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text, which no log is delivered as: convert it to UTF-8"),
    (
        b"version https://git-lfs.github.com/",
        "a pointer of Git LFS in place of the file: `git lfs pull` fetches it",
    ),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"BZh", "bzip2, which no log is delivered as: unpack it"),
    (b"\xfd7zXZ\0", "xz, which no log is delivered as: unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd, which no log is delivered as: unpack it"),
    (b"<?xml", "XML, as S3 answers an error in: not a log"),
    (b"<Error>", "XML, as S3 answers an error in: not a log"),
    (b"<!", "HTML, as a page of an error: not a log"),
    (b"<html", "HTML, as a page of an error: not a log"),
    (b"<HTML", "HTML, as a page of an error: not a log"),
];

/// Where the header of a tar archive's first file says that it is one (POSIX.1-2024, `pax`), and what it says.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// Refuses content that is certainly no log, whatever its key says, by name.
pub(super) fn refuse(text: &[u8]) -> Result<(), decode::Error> {
    let start = text.trim_ascii_start();
    let found =
        OTHER_CONTENT.iter().find(|(beginning, _)| start.starts_with(beginning)).map(|(_, what)| *what);
    match found.or_else(|| is_tar(text).then_some("a tar archive: unpack it")) {
        Some(what) => Err(ErrorKind::Shape(what.to_owned()).nowhere()),
        None => Ok(()),
    }
}

/// Whether content begins as a tar archive does: texts of fixed size, which are filled up with NUL, as no log has it.
fn is_tar(text: &[u8]) -> bool {
    let (at, mark) = TAR;
    text.get(at..).is_some_and(|rest| rest.starts_with(mark)) && text[..at].contains(&0)
}

/// Why content is refused of which nothing says what it is.
pub(super) fn unrecognized(text: &[u8]) -> decode::Error {
    let what = vpc_flow::of_no_format(text);
    ErrorKind::Shape(what.unwrap_or_else(|| "neither CloudTrail nor VPC Flow Logs".to_owned())).nowhere()
}
