//! Where rows come from: the two columns of a data file that say of which object a row is, and which row of it.
//!
//! Reads nothing else of a file: a few bytes a row.

use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use crate::lake::{FileReader, ObjectId, ObjectRows};

const OBJECT: &str = "source_object";
const ROW: &str = "source_row";
/// Rows read at once: enough that the dictionary of a row group is looked through seldom.
const ROWS_AT_ONCE: usize = 128 * 1024;

/// Rows of a data file: `each` gets a key per row into some object ids, and the row's number in its object.
pub(super) struct Rows<'a> {
    /// The ids of objects that rows may be of.
    pub objects: &'a StringArray,
    keys: &'a Int32Array,
    numbers: &'a Int32Array,
}

impl Rows<'_> {
    /// For each row the position of its object among the ids, and its number; none where the file does not say.
    pub fn iter(&self) -> impl Iterator<Item = Option<(usize, u32)>> + '_ {
        self.keys.iter().zip(self.numbers.iter()).map(|(key, number)| {
            let key = usize::try_from(key?).ok()?;
            self.objects.is_valid(key).then_some((key, u32::try_from(number?).ok()?))
        })
    }

    /// For each row its object and its number; none where the file does not say.
    pub fn places(&self) -> impl Iterator<Item = Option<(ObjectId, u32)>> + '_ {
        let mut last: Option<(usize, ObjectId)> = None;
        self.iter().map(move |row| {
            let (key, number) = row?;
            let id = match last {
                Some((known, id)) if known == key => id,
                _ => self.objects.value(key).parse().ok()?,
            };
            last = Some((key, id));
            Some((id, number))
        })
    }
}

/// Reads a file; returns its number of rows, and whether it says where they come from.
pub(super) async fn read(
    store: &Arc<dyn ObjectStore>,
    path: &str,
    size_bytes: u64,
    mut each: impl FnMut(&Rows<'_>),
) -> Result<(u64, bool), ParquetError> {
    let mut reader = FileReader::new(Arc::clone(store), path, size_bytes);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = reader.metadata().await?;
    let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options.clone())?;
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let schema = plain.schema();
    let is =
        |name: &str, wanted: &DataType| schema.field_with_name(name).is_ok_and(|f| f.data_type() == wanted);
    if !is(OBJECT, &DataType::Utf8) || !is(ROW, &DataType::Int32) {
        return Ok((rows, false));
    }
    let metadata = ArrowReaderMetadata::try_new(metadata, options.with_schema(Arc::new(with_keys(schema))))?;
    let mask = ProjectionMask::columns(metadata.parquet_schema(), [OBJECT, ROW]);
    let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_projection(mask)
        .with_batch_size(ROWS_AT_ONCE)
        .build()?;
    while let Some(batch) = batches.next().await.transpose()? {
        let missing = || ParquetError::General(format!("`{OBJECT}` or `{ROW}` cannot be read"));
        let objects: &DictionaryArray<Int32Type> =
            batch.column_by_name(OBJECT).and_then(|c| c.as_dictionary_opt()).ok_or_else(missing)?;
        let ids = objects.values().as_string_opt::<i32>().ok_or_else(missing)?;
        let numbers: &Int32Array =
            batch.column_by_name(ROW).and_then(|c| c.as_primitive_opt()).ok_or_else(missing)?;
        each(&Rows { objects: ids, keys: objects.keys(), numbers });
    }
    Ok((rows, true))
}

/// The file's schema with the ids as a dictionary, as files hold them anyway: read so, no id is copied per row.
fn with_keys(schema: &Schema) -> Schema {
    let keyed = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema.fields().iter().map(|field| match field.name().as_str() {
        OBJECT => Arc::new(Field::new(OBJECT, keyed.clone(), field.is_nullable())),
        _ => Arc::clone(field),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// Notes the rows of a batch of the two columns as queries see them; false when one does not say where it is from.
pub(super) fn note(batch: &RecordBatch, rows: &mut ObjectRows) -> bool {
    let objects = batch.column_by_name(OBJECT).and_then(|column| column.as_string_view_opt());
    let numbers = batch.column_by_name(ROW).and_then(|column| column.as_primitive_opt::<Int32Type>());
    let (Some(objects), Some(numbers)) = (objects, numbers) else { return false };
    let mut last: Option<(&str, ObjectId)> = None;
    for (text, number) in objects.iter().zip(numbers.iter()) {
        let Some((text, number)) = text.zip(number.and_then(|number| u32::try_from(number).ok())) else {
            return false;
        };
        let id = match last {
            Some((known, id)) if known == text => id,
            _ => match text.parse() {
                Ok(id) => id,
                Err(_) => return false,
            },
        };
        last = Some((text, id));
        rows.insert(id, number);
    }
    true
}
