//! From the configuration to the settings of the layers it is for.
//!
//! Must never open or start anything.

use crate::config::{self, Config};
use crate::decode::gzip;
use crate::query;
use crate::store::{AwsSettings, Location};

/// The place of the lake.
pub fn location(config: &Config) -> Location {
    match &config.lake {
        config::Lake::Directory(path) => Location::Local(path.clone()),
        config::Lake::S3 { bucket, prefix } => {
            Location::S3 { bucket: bucket.clone(), prefix: prefix.clone() }
        }
    }
}

/// How AWS is reached.
pub fn aws(config: &Config) -> AwsSettings {
    let endpoint = config.aws.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    AwsSettings { endpoint, region: config.aws.region.clone() }
}

/// What one query may use.
pub fn query_limits(config: &Config) -> query::Limits {
    query::Limits { memory_bytes: config.query.memory_bytes, timeout: config.query.timeout, threads: None }
}

/// What one object may cost.
pub fn object_limits(config: &Config) -> gzip::Limits {
    gzip::Limits {
        compressed_bytes: config.ingest.max_object_bytes,
        content_bytes: config.ingest.max_content_bytes,
        ..gzip::Limits::default()
    }
}
