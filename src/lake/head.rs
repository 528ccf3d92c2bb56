//! Telling the head of a log from a hole in it: another program may have cleaned up the versions behind a checkpoint.
//!
//! Must never take a version that is absent for one that nobody wrote yet without having looked for what comes after.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;

use super::Error;
use super::log::{Action, TableLog, log_path};

/// What `_last_checkpoint` says, as far as it matters here.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: i64,
}

impl TableLog {
    /// The actions of the version after `head`; none only when `head` is the newest version.
    pub async fn actions_after(&self, head: i64) -> Result<Option<Vec<Action>>, Error> {
        let version = head + 1;
        if let Some(actions) = self.actions(version).await? {
            return Ok(Some(actions));
        }
        let is_head = match self.last_checkpoint().await? {
            Some(checkpoint) => checkpoint <= head,
            None if head < 0 => !self.exists().await?,
            None => self.has_version(head).await?,
        };
        if is_head {
            return Ok(None);
        }
        // Others may have gone on meanwhile.
        let table = self.table().name;
        self.actions(version).await?.map(Some).ok_or(Error::VersionGone { table, version })
    }

    /// Makes sure that a version that was just written continues the log: written by somebody who did not know that
    /// the log went on and was cleaned up, it lies behind a checkpoint, and no reader will ever see it.
    pub(super) async fn check_appended(&self, version: i64) -> Result<(), Error> {
        let checkpoint = self.last_checkpoint().await?;
        if checkpoint.is_some_and(|checkpoint| checkpoint < version) {
            return Ok(());
        }
        let mut neighbours = vec![version - 1];
        if checkpoint.is_some_and(|checkpoint| checkpoint > version) {
            neighbours.push(version + 1);
        }
        for version in neighbours.into_iter().filter(|version| *version >= 0) {
            if !self.has_version(version).await? {
                return Err(Error::VersionGone { table: self.table().name, version });
            }
        }
        Ok(())
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
        match self.store().head(&log_path(version)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::table(self.table(), error)),
        }
    }
}
