//! Telling the head of a log from a hole in it: another program may have cleaned up the versions behind a checkpoint.
//!
//! Must never take a version that is absent for one that nobody wrote yet without having looked for what comes after.

use futures::StreamExt;
use futures::future::try_join;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::Error;
use super::action::Action;
use super::log::{TableLog, log_path};

/// Where the files of a log are, below the table's directory.
const LOG: &str = "_delta_log";

/// What `_last_checkpoint` says, as far as it matters here.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: i64,
}

impl TableLog {
    /// The actions of the version after `head`; none only when `head` is the newest version.
    ///
    /// Who has read the versions after some version like this asks [`TableLog::check_read`] before he relies on them.
    pub async fn actions_after(&self, head: i64) -> Result<Option<Vec<Action>>, Error> {
        let version = head + 1;
        if let Some(actions) = self.actions(version).await? {
            return Ok(Some(actions));
        }
        if self.is_head(head).await? {
            return Ok(None);
        }
        // Others may have gone on meanwhile.
        let table = self.table().name;
        self.actions(version).await?.map(Some).ok_or(Error::VersionGone { table, version })
    }

    /// Makes sure that the versions that were read after `head` were those that continued it. A worker that slept
    /// through a clean-up may have written one of them into the gap it left: its rows are in no table. A clean-up takes
    /// away the oldest versions, so there was no gap after `head` as long as `head` itself is there.
    pub async fn check_read(&self, head: i64) -> Result<(), Error> {
        if head < 0 || self.has_version(head).await? {
            return Ok(());
        }
        // Clean-ups stop at a checkpoint: its version is what it was, and so is what comes after it.
        for version in [head, head + 1] {
            if self.has_checkpoint(version).await? {
                return Ok(());
            }
        }
        Err(Error::VersionGone { table: self.table().name, version: head })
    }

    /// Makes sure that a version that was just written continues the log: written by somebody who did not know that
    /// the log went on and was cleaned up, it lies behind a checkpoint, and no reader will ever see it.
    pub(super) async fn check_appended(&self, version: i64) -> Result<(), Error> {
        let table = self.table().name;
        let (before, after) = (version - 1, version + 1);
        let look_before = async { Ok(before < 0 || self.has_version(before).await?) };
        let (checkpoint, has_before) = try_join(self.last_checkpoint(), look_before).await?;
        if !has_before {
            // Only of a version that a checkpoint sums up the commit may be gone.
            if checkpoint != Some(before) || self.goes_beyond(version).await? {
                return Err(Error::VersionGone { table, version: before });
            }
        }
        let is_behind = checkpoint.is_some_and(|checkpoint| checkpoint > version);
        if is_behind && !self.has_version(after).await? && self.goes_beyond(version).await? {
            // Others may have gone on meanwhile.
            if !self.has_version(after).await? {
                return Err(Error::VersionGone { table, version: after });
            }
        }
        Ok(())
    }

    /// Whether a version is the newest, when the one after it was not found.
    async fn is_head(&self, head: i64) -> Result<bool, Error> {
        if head < 0 {
            return Ok(self.last_checkpoint().await?.is_none() && !self.exists().await?);
        }
        let (checkpoint, is_there) = try_join(self.last_checkpoint(), self.has_version(head)).await?;
        if is_there && checkpoint.is_none_or(|checkpoint| checkpoint <= head) {
            return Ok(true);
        }
        // The hint may be ahead of the log, as in a copy that was made while it was written to, or behind it.
        Ok((is_there || checkpoint == Some(head)) && !self.goes_beyond(head).await?)
    }

    /// Whether the log holds anything of versions after this one: asked only where something is odd.
    async fn goes_beyond(&self, version: i64) -> Result<bool, Error> {
        let mut found = self.store().list_with_offset(Some(&Path::from(LOG)), &log_path(version));
        while let Some(meta) = found.next().await {
            let meta = meta.map_err(|error| Error::table(self.table(), error))?;
            if meta.location.filename().and_then(version_of).is_some_and(|found| found > version) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The version of the newest checkpoint; none when nothing tells of one.
    async fn last_checkpoint(&self) -> Result<Option<i64>, Error> {
        let failed = |error: object_store::Error| Error::table(self.table(), error);
        let bytes = match self.store().get(&Path::from("_delta_log/_last_checkpoint")).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // It is a hint, and the protocol allows it to be wrong: unreadable, it tells nothing.
        Ok(serde_json::from_slice(&bytes).ok().map(|last: LastCheckpoint| last.version))
    }

    /// Whether a version's commit is there.
    pub(super) async fn has_version(&self, version: i64) -> Result<bool, Error> {
        self.has(&log_path(version)).await
    }

    /// Whether there is a checkpoint of a version, in the form that this program and most others write.
    async fn has_checkpoint(&self, version: i64) -> Result<bool, Error> {
        self.has(&Path::from(format!("{LOG}/{version:020}.checkpoint.parquet"))).await
    }

    async fn has(&self, path: &Path) -> Result<bool, Error> {
        match self.store().head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::table(self.table(), error)),
        }
    }
}

/// The version that a commit or a checkpoint is of, by the name of its file.
fn version_of(name: &str) -> Option<i64> {
    let (number, rest) = name.split_at_checked(20)?;
    if rest != ".json" && !rest.starts_with(".checkpoint.") {
        return None;
    }
    number.parse().ok()
}
