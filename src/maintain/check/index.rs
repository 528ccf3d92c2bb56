//! The table `objects` against the commits it is an index of.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::NaiveDate;

use super::files::TableFiles;
use super::objects::{Objects, Outcomes};
use super::{Error, Report};
use crate::lake::{self, DATA_TABLES, Lake, OBJECTS, ObjectId, State, TableLog, day};

const COLUMNS: [&str; 6] = ["object_id", "key", "state", "row_count", "table_name", "table_version"];

/// What is still to be found in the index.
struct Wanted {
    /// Rows of an object, by the object and the version that added it.
    added: HashMap<(ObjectId, i64), (&'static str, u32)>,
    outcomes: Outcomes,
}

/// How far each table was indexed.
pub(super) type Indexed = HashMap<&'static str, i64>;

/// How far the index was brought up to date with each table.
pub(super) async fn progress(lake: &Lake) -> Result<Indexed, Error> {
    let app_ids: Vec<String> = DATA_TABLES.iter().map(|table| lake::index_app_id(table.name)).collect();
    let (_, progress) = lake.log(OBJECTS.name)?.progress(&app_ids).await?;
    Ok(DATA_TABLES.iter().zip(progress).map(|(table, version)| (table.name, version.unwrap_or(-1))).collect())
}

/// Compares the index, as far as it was brought up to date, with what the commits say.
pub(super) async fn check(
    log: &TableLog,
    files: &TableFiles,
    objects: &Objects,
    indexed: &Indexed,
    report: &mut Report,
) -> Result<(), Error> {
    let done =
        objects.all().iter().filter(|object| indexed.get(object.table).is_some_and(|v| object.version <= *v));
    let added = done.map(|object| ((object.id, object.version), (object.table, object.rows))).collect();
    let mut wanted = Wanted { added, outcomes: objects.outcomes().clone() };
    for (path, add) in files.live() {
        let batches = match log.read_file(path, &COLUMNS).await {
            Ok(batches) => batches,
            Err(error @ lake::Error::Value { .. }) => {
                report.error(OBJECTS.name, "index-wrong", &path, error.to_string());
                continue;
            }
            // A file that cannot be read was told of before.
            Err(_) => continue,
        };
        // Without its commit, a file's partition is not known.
        let is_by_day = day::is_marked(path) && !add.partition_values.is_empty();
        for batch in &batches {
            if is_by_day {
                check_day(batch, log.added_file(add).event_date, report);
            }
            wanted.take(batch, indexed, report);
        }
    }
    for ((id, version), (table, _)) in &wanted.added {
        let detail = format!("version {version} of `{table}` added it, and the index does not say so");
        report.error(OBJECTS.name, "index-lacks", &id, detail);
    }
    for ((id, state), count) in wanted.outcomes.iter().filter(|(_, count)| **count > 0) {
        let detail = format!("a commit says `{}`, and {count} rows of the table are missing", state.name());
        report.error(OBJECTS.name, "index-lacks", &id, detail);
    }
    Ok(())
}

/// Tells of rows that are not where the ledger looks for them.
fn check_day(batch: &RecordBatch, day: Option<NaiveDate>, report: &mut Report) {
    let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let (Some(ids), Some(keys)) = (text("object_id"), text("key")) else { return };
    for (id, key) in ids.iter().zip(keys) {
        if key.and_then(day::of_key) != day {
            let detail = "its row is in the files of another day than that of its key";
            report.error(OBJECTS.name, "index-wrong", &id.unwrap_or_default(), detail);
        }
    }
}

impl Wanted {
    /// Crosses out what rows of the index say, and tells of rows that say what no commit does.
    fn take(&mut self, batch: &RecordBatch, indexed: &Indexed, report: &mut Report) {
        let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let long = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(ids), Some(states), Some(counts), Some(tables), Some(versions)) =
            (text("object_id"), text("state"), long("row_count"), text("table_name"), long("table_version"))
        else {
            report.error(OBJECTS.name, "index-wrong", &"columns", "the table lacks columns of an index");
            return;
        };
        for row in 0..batch.num_rows() {
            let id_text = if ids.is_valid(row) { ids.value(row) } else { "" };
            let Ok(id) = id_text.parse::<ObjectId>() else {
                report.error(OBJECTS.name, "index-wrong", &id_text, "is no id of an object");
                continue;
            };
            let known = if tables.is_valid(row) && versions.is_valid(row) {
                let (table, version) = (tables.value(row), versions.value(row));
                // The index may have moved on since the commits were read.
                let later = indexed.get(table).is_some_and(|done| version > *done);
                let found = self.added.remove(&(id, version));
                later || found.is_some_and(|(of, rows)| of == table && i64::from(rows) == counts.value(row))
            } else {
                State::parse(states.value(row)).is_some_and(|state| {
                    match self.outcomes.get_mut(&(id, state)) {
                        Some(count) if *count > 0 => {
                            *count -= 1;
                            true
                        }
                        _ => false,
                    }
                })
            };
            if !known {
                report.error(
                    OBJECTS.name,
                    "index-wrong",
                    &id,
                    "a row of the table says what no commit does, or says it twice",
                );
            }
        }
    }
}
