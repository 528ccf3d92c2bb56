//! Where objects are: folders and S3 behind one trait.

pub mod aws;
