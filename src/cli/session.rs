//! What verbs share: the configuration in force, the lake, the rules and the sinks.

use std::io;
use std::sync::Arc;

use super::output::Output;
use super::{Failure, Global};
use crate::alert::sinks::Sink;
use crate::alert::sinks::terminal::Style;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Overrides};
use crate::ingest::read::Reader;
use crate::lake::Lake;
use crate::service::Screen;
use crate::service::setup;
use crate::store::{self, LakeStore};

pub use setup::{aws, limits, rules, subscribers};

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

/// What reads objects; fields of formats that are not known are told.
pub fn reader(config: &Config, output: &Output) -> Result<Arc<Reader>, Failure> {
    let formats = setup::flow_formats(config)?;
    for (name, table) in formats.unknown_names() {
        output
            .warn(format!("`{name}` in a format is no known field of `{table}`: it goes to `other_fields`"));
    }
    Ok(Arc::new(setup::reader(config, formats, clock())))
}

async fn place(config: &Config) -> Result<LakeStore, Failure> {
    Ok(store::lake(&setup::location(&config.lake), &aws(config)).await?)
}

/// The lake, which must be there.
pub async fn open_lake(config: &Config) -> Result<Lake, Failure> {
    Ok(Lake::open(place(config).await?, clock()).await?)
}

/// The lake, made if it is not there.
pub async fn create_lake(config: &Config) -> Result<Lake, Failure> {
    Ok(Lake::create(place(config).await?, clock()).await?)
}

/// Where sinks of kind `terminal` write.
pub fn screen(output: &Output) -> Screen {
    let style = if output.color() { Style::Colour } else { Style::Plain };
    Screen { style, width: output.width().unwrap_or(100), open: || Box::new(io::stderr()) }
}

/// The sinks of the configuration.
pub fn sinks(config: &Config, output: &Output) -> Result<Vec<Box<dyn Sink>>, Failure> {
    Ok(setup::sinks(config, &clock(), screen(output))?)
}
