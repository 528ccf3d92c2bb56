//! Where sample logs are: `testdata/`, and a folder of real logs beside the project when there is one.

use std::path::{Path, PathBuf};

use trailhound::decode::gzip;

/// A folder of the project's own samples.
pub fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

/// A file or folder of real logs; `None` where there are none.
pub fn real(path: &str) -> Option<PathBuf> {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    real.exists().then_some(real)
}

/// All files at or under a path, in a fixed order.
pub fn files_under(path: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    let files = entries
        .map(|entry| entry.expect("samples can be listed"))
        .filter(|entry| entry.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

/// A file's text, inflated when it is gzip.
pub fn read_text(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("samples can be read");
    let content = if gzip::is_gzip(&bytes) {
        let inflated = gzip::inflate(&bytes, &gzip::Limits::default(), &mut Vec::new()).map(<[u8]>::to_vec);
        inflated.expect("samples are whole")
    } else {
        bytes
    };
    String::from_utf8(content).expect("samples are UTF-8")
}

/// A file's name, for messages.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
