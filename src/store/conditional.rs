//! Whether a store puts a file only if there is none, as it was asked: not all that speak S3 do.
//!
//! Must never leave more behind than an empty file that no reader of the lake looks at.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::{Error, LakeStore, Location};

/// Tries to put a file: the store of a log repeats nothing by itself.
const TRIES: u32 = 3;

impl LakeStore {
    /// Refuses a store that would let two writers make the same version of a log: a bucket is asked to create a file
    /// twice. A directory needs no asking.
    pub async fn check_create(&self) -> Result<(), Error> {
        if matches!(self.location, Location::Local(_)) {
            return Ok(());
        }
        let failed = |source| Error::Conditional { place: self.to_string(), source };
        let mut tries = 0;
        let path = loop {
            let path = self.new_path().map_err(|error| failed(error.into()))?;
            tries += 1;
            match self.create(&path).await {
                Ok(()) => break path,
                Err(object_store::Error::Generic { .. }) if tries < TRIES => {}
                Err(error) => return Err(failed(error)),
            }
        };
        let mut again = self.create(&path).await;
        tries = 1;
        // Of a fault nothing can be told; and whether or not it was carried out, the file is there.
        while matches!(again, Err(object_store::Error::Generic { .. })) && tries < TRIES {
            again = self.create(&path).await;
            tries += 1;
        }
        if let Err(error) = self.store.delete(&path).await {
            tracing::debug!(path = path.as_ref(), %error, "an empty file stays behind");
        }
        match again {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(()) => Err(Error::Unconditional { place: self.to_string(), endpoint: self.endpoint.clone() }),
        }
    }

    /// A path that nobody else uses.
    fn new_path(&self) -> Result<Path, object_store::path::Error> {
        let lake = Path::from_url_path(self.url.path())?;
        Ok(lake.join("_trailhound").join(format!("cas-{}", uuid::Uuid::new_v4())))
    }

    async fn create(&self, path: &Path) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(path, PutPayload::default(), options).await.map(drop)
    }
}
