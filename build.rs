//! Detections and saved queries are part of the binary: a new file among them is a reason to build again.

fn main() {
    for folder in ["detections", "queries"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
