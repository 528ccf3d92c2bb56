//! A table of the lake for DataFusion: the log's list of files, scanned with DataFusion's own Parquet source.
//!
//! Files are pruned by day and by time before the scan, by row group, page and Bloom filter inside it. The plan is
//! made only of DataFusion's own operators.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::path::Path;

use crate::decode::columns::Table;
use crate::lake::DataFile;

/// The partition column of every table.
const PARTITION: &str = "event_date";

/// Some or all files of a table of the lake.
#[derive(Debug)]
pub struct LakeTable {
    table: &'static Table,
    schema: SchemaRef,
    files: Vec<DataFile>,
    store: ObjectStoreUrl,
    /// The table's directory in the store, without a slash at its end.
    directory: String,
}

impl LakeTable {
    /// A table over the files named; `directory` is the table's path in the store.
    pub fn new(
        table: &'static Table,
        files: Vec<DataFile>,
        store: ObjectStoreUrl,
        directory: String,
    ) -> Self {
        LakeTable { table, schema: query_schema(table), files, store, directory }
    }

    /// The files that may hold rows the filters keep.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&DataFile>> {
        let all = || self.files.iter().collect();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(all()) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = state.create_physical_expr(filter, &schema)?;
        // What cannot be made a pruning predicate prunes nothing.
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema));
        let Ok(predicate) = builder.try_build(predicate) else { return Ok(all()) };
        let statistics = FileBounds { time_column: self.table.time_column, files: &self.files };
        let keep = predicate.prune(&statistics)?;
        Ok(self.files.iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        let path = format!("{}/{}", self.directory, file.path);
        let day = ScalarValue::Date32(file.event_date.map(|day| day.to_epoch_days()));
        let mut partitioned =
            PartitionedFile::new(path.as_str(), file.size_bytes).with_partition_values(vec![day]);
        // The path as it is: otherwise `~`, `#` and the like in the lake's own place would be written differently.
        if let Ok(path) = Path::parse(&path) {
            partitioned.object_meta.location = path;
        }
        match file.rows {
            Some(_) => partitioned.with_statistics(Arc::new(self.statistics(file))),
            None => partitioned,
        }
    }

    /// Statistics of one file over the file's columns, as far as the log knows them.
    fn statistics(&self, file: &DataFile) -> Statistics {
        let rows = file.rows.and_then(|rows| usize::try_from(rows).ok());
        let unknown = self.schema.fields().len() - 1;
        let mut columns = vec![ColumnStatistics::new_unknown(); unknown];
        let time = |micros: Option<i64>| match micros {
            Some(micros) => Precision::Inexact(timestamp(Some(micros))),
            None => Precision::Absent,
        };
        if let Some(index) = self.table.index_of(self.table.time_column) {
            columns[index].min_value = time(file.min_time);
            columns[index].max_value = time(file.max_time);
        }
        Statistics {
            num_rows: rows.map_or(Precision::Absent, Precision::Exact),
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        }
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files: Vec<PartitionedFile> =
            self.prune(state, filters)?.into_iter().map(|file| self.partitioned(file)).collect();
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let fields = self.schema.fields();
        let (partition, columns) = fields
            .split_last()
            .map_or((vec![], &fields[..0]), |(last, columns)| (vec![Arc::clone(last)], columns));
        let file_schema = Arc::new(Schema::new(columns.to_vec()));
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(partition).build();
        let options = state.table_options().parquet.clone();
        let source = ParquetSource::new(schema).with_table_parquet_options(options);
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// The table's schema as queries see it: text as views, which scans read without copying.
pub fn query_schema(table: &Table) -> SchemaRef {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    let fields: Vec<_> = table.schema().fields().iter().map(view).collect();
    Arc::new(Schema::new(fields))
}

/// What the log knows of files, for pruning.
struct FileBounds<'a> {
    time_column: &'static str,
    files: &'a [DataFile],
}

impl FileBounds<'_> {
    fn bound(&self, column: &Column, time: impl Fn(&DataFile) -> Option<i64>) -> Option<ArrayRef> {
        if column.name == PARTITION {
            let days = self.files.iter().map(|file| file.event_date.map(|day| day.to_epoch_days()));
            return Some(Arc::new(days.collect::<Date32Array>()));
        }
        if column.name == self.time_column {
            let times = self.files.iter().map(time).collect::<TimestampMicrosecondArray>();
            return Some(Arc::new(times.with_timezone("UTC")));
        }
        None
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |file| file.min_time)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |file| file.max_time)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| file.rows).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// A time of a table as a literal.
pub fn timestamp(micros: Option<i64>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(micros, Some("UTC".into()))
}
