//! Reading parts of a data file: its footer and the columns that are asked for, not the rest.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::store;

/// Footers are mostly smaller than this: one request reads them.
const FOOTER_BYTES: usize = 64 << 10;

/// A data file in a store.
#[derive(Debug, Clone)]
pub struct FileReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size_bytes: u64,
}

impl FileReader {
    /// A file of a known size.
    pub fn new(store: Arc<dyn ObjectStore>, path: &str, size_bytes: u64) -> Self {
        FileReader { store, path: store::path_of(path), size_bytes }
    }

    /// The file's own description; its page indexes are left out.
    pub async fn metadata(&mut self) -> Result<Arc<ParquetMetaData>> {
        let size_bytes = self.size_bytes;
        let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
        Ok(Arc::new(reader.load_and_finish(self, size_bytes).await?))
    }

    /// The file's own description with its page indexes, where it has them.
    pub async fn page_index(&mut self) -> Result<Arc<ParquetMetaData>> {
        let size_bytes = self.size_bytes;
        let reader = ParquetMetaDataReader::new()
            .with_prefetch_hint(Some(FOOTER_BYTES))
            .with_page_index_policy(PageIndexPolicy::Optional);
        Ok(Arc::new(reader.load_and_finish(self, size_bytes).await?))
    }
}

fn failed(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(failed) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(failed) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.metadata().boxed()
    }
}
