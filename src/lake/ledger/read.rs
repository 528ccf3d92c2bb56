//! Reading ids and states out of files of `objects`: of all rows, or of the pages that may hold a key.
//!
//! Must never take a row it does not understand for one that is not there: that is an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::object::{ObjectId, State};
use crate::lake::log::{DataFile, TableLog};
use crate::lake::reader::FileReader;
use crate::lake::tables::OBJECTS;
use crate::lake::{Error, on_cpu};

/// Rows that are decoded at a time: hexadecimal text of a megabyte.
const BATCH_ROWS: usize = 16 << 10;

const ID: &str = "object_id";
const STATE: &str = "state";
const KEY: &str = "key";

/// The description of a file with its page index, to be kept for the next look.
pub(super) async fn footer(log: &TableLog, file: &DataFile) -> Result<Arc<ParquetMetaData>, Error> {
    reader(log, file).page_index().await.map_err(failed)
}

/// What every row of a file says.
pub(super) async fn all(
    log: &TableLog,
    file: &DataFile,
    mut each: impl FnMut(ObjectId, State),
) -> Result<(), Error> {
    let metadata = reader(log, file).metadata().await.map_err(failed)?;
    rows(log, file, metadata, None, &mut each).await
}

/// What some rows of a file say.
pub(super) async fn some(
    log: &TableLog,
    file: &DataFile,
    footer: &Arc<ParquetMetaData>,
    selection: RowSelection,
    mut each: impl FnMut(ObjectId, State),
) -> Result<(), Error> {
    if !selection.selects_any() {
        return Ok(());
    }
    rows(log, file, Arc::clone(footer), Some(selection), &mut each).await
}

fn reader(log: &TableLog, file: &DataFile) -> FileReader {
    FileReader::new(Arc::clone(log.store()), &file.path, file.size_bytes)
}

fn failed(error: ParquetError) -> Error {
    Error::table(&OBJECTS, error)
}

async fn rows(
    log: &TableLog,
    file: &DataFile,
    metadata: Arc<ParquetMetaData>,
    selection: Option<RowSelection>,
    each: &mut impl FnMut(ObjectId, State),
) -> Result<(), Error> {
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new()).map_err(failed)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader(log, file), metadata);
    let mask = ProjectionMask::columns(builder.parquet_schema(), [ID, STATE]);
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    let mut batches = builder.build().map_err(failed)?;
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        let found = on_cpu(move || parse(&batch)).await??;
        for (id, state) in found {
            each(id, state);
        }
    }
    Ok(())
}

/// The ids and states of rows.
fn parse(batch: &RecordBatch) -> Result<Vec<(ObjectId, State)>, Error> {
    let (ids, states) = (text(batch, ID)?, text(batch, STATE)?);
    let rows = ids.iter().zip(states.iter());
    let known = rows.map(|(id, state)| {
        let id = id.and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| wrong(ID, "has a row without an id of an object"))?;
        let state = state.and_then(State::parse);
        let state = state.ok_or_else(|| wrong(STATE, "has a row of no state this version knows"))?;
        Ok((id, state))
    });
    known.collect()
}

/// A column as text, however another program wrote it.
fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, Error> {
    let column: &ArrayRef = batch.column_by_name(name).ok_or_else(|| wrong(name, "is not in a file"))?;
    let column = cast(column, &DataType::Utf8).map_err(|error| Error::table(&OBJECTS, error))?;
    column.as_string_opt::<i32>().cloned().ok_or_else(|| wrong(name, "is no text"))
}

fn wrong(column: &str, problem: &str) -> Error {
    Error::Value { table: OBJECTS.name, column: column.to_owned(), problem: problem.to_owned() }
}

/// The rows of the pages whose bounds say that one of the keys may be there; without bounds, all of them.
pub(super) fn of_keys(footer: &ParquetMetaData, keys: &[&str]) -> RowSelection {
    let columns = footer.file_metadata().schema_descr().columns();
    let column = columns.iter().position(|column| column.path().string() == KEY);
    let mut selectors: Vec<RowSelector> = Vec::new();
    for (group, metadata) in footer.row_groups().iter().enumerate() {
        let rows = usize::try_from(metadata.num_rows()).unwrap_or(usize::MAX);
        match column.and_then(|column| pages(footer, group, column, rows)) {
            Some(pages) => selectors.extend(pages.into_iter().map(|(rows, bounds)| {
                let may_hold = bounds.is_none_or(|(least, most)| {
                    keys.iter().any(|key| least <= key.as_bytes() && key.as_bytes() <= most)
                });
                if may_hold { RowSelector::select(rows) } else { RowSelector::skip(rows) }
            })),
            None => selectors.push(RowSelector::select(rows)),
        }
    }
    RowSelection::from(selectors)
}

/// How many rows a page has, and between which keys they are where that is known.
type Page<'a> = (usize, Option<(&'a [u8], &'a [u8])>);

/// The pages of the column of keys in a row group; none where the file does not say.
fn pages(footer: &ParquetMetaData, group: usize, column: usize, rows: usize) -> Option<Vec<Page<'_>>> {
    let ColumnIndexMetaData::BYTE_ARRAY(bounds) = footer.column_index()?.get(group)?.get(column)? else {
        return None;
    };
    let places = footer.offset_index()?.get(group)?.get(column)?.page_locations();
    let count = usize::try_from(bounds.num_pages()).ok().filter(|count| *count == places.len())?;
    let first = |page: usize| places.get(page).and_then(|place| usize::try_from(place.first_row_index).ok());
    if count > 0 && first(0) != Some(0) {
        return None;
    }
    (0..count)
        .map(|page| {
            let end = if page + 1 == count { rows } else { first(page + 1)? };
            // A page with a row without a key may hold anything.
            let is_whole = bounds.null_count(page) == Some(0);
            let bounds = bounds.min_value(page).zip(bounds.max_value(page)).filter(|_| is_whole);
            Some((end.checked_sub(first(page)?)?, bounds))
        })
        .collect()
}
