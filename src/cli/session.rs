//! What verbs share: the configuration in force, the lake, the rules and the sinks.

use std::sync::Arc;

use super::output::Output;
use super::{Failure, Global};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Overrides};
use crate::decode::gzip;
use crate::detect::pack::{self, Rule};
use crate::lake::Lake;
use crate::query::Limits;
use crate::store::{self, AwsSettings, LakeStore, Location};

impl Global {
    /// The configuration in force; what is odd about it is told.
    pub fn config(&self, output: &Output) -> Result<Config, Failure> {
        self.config_with(output, &Overrides::default())
    }

    /// The configuration in force, with what a verb's own options put in place of it.
    pub fn config_with(&self, output: &Output, more: &Overrides) -> Result<Config, Failure> {
        let overrides = Overrides {
            lake: self.lake.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            memory_mib: more.memory_mib,
            timeout_seconds: more.timeout_seconds,
        };
        let config = config::load(self.config.as_deref(), overrides)?;
        for warning in &config.warnings {
            output.warn(warning);
        }
        Ok(config)
    }
}

/// The system's clock, as the layers below take it.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// How AWS is reached.
pub fn aws(config: &Config) -> AwsSettings {
    let endpoint = config.aws.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    AwsSettings { endpoint, region: config.aws.region.clone() }
}

async fn place(config: &Config) -> Result<LakeStore, Failure> {
    let location = match &config.lake {
        config::Lake::Directory(path) => Location::Local(path.clone()),
        config::Lake::S3 { bucket, prefix } => {
            Location::S3 { bucket: bucket.clone(), prefix: prefix.clone() }
        }
    };
    Ok(store::lake(&location, &aws(config)).await?)
}

/// The lake, which must be there.
pub async fn open_lake(config: &Config) -> Result<Lake, Failure> {
    Ok(Lake::open(place(config).await?, clock()).await?)
}

/// The lake, made if it is not there.
pub async fn create_lake(config: &Config) -> Result<Lake, Failure> {
    Ok(Lake::create(place(config).await?, clock()).await?)
}

/// The limits of one query.
pub fn limits(config: &Config) -> Limits {
    Limits { memory_bytes: config.query.memory_bytes, timeout: config.query.timeout, threads: None }
}

/// The limits of one object.
pub fn object_limits(config: &Config) -> gzip::Limits {
    gzip::Limits {
        compressed_bytes: config.ingest.max_object_bytes,
        content_bytes: config.ingest.max_content_bytes,
        ..gzip::Limits::default()
    }
}

/// The rules in force.
pub fn rules(config: &Config) -> Result<Vec<Rule>, Failure> {
    Ok(pack::load(config.detect.built_in, &config.detect.folders, &config.detect.disabled)?)
}
