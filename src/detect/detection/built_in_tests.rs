//! Plans and runs every built-in detection over its own tests.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use datafusion::execution::context::SessionContext;

use super::*;
use crate::query::saved::sample;

fn rules() -> Vec<(BuiltIn, Detection)> {
    built_in().map(|rule| (rule, parse(rule.file, rule.text).unwrap())).collect()
}

async fn run(session: &SessionContext, rule: &Detection) -> RecordBatch {
    let frame = session.sql(&rule.sql).await.unwrap_or_else(|error| panic!("{}: {error}", rule.id));
    let batches = frame.collect().await.unwrap_or_else(|error| panic!("{}: {error}", rule.id));
    let schema = batches.first().map(RecordBatch::schema);
    match schema {
        Some(schema) => arrow::compute::concat_batches(&schema, &batches).unwrap(),
        None => RecordBatch::new_empty(std::sync::Arc::new(arrow::datatypes::Schema::empty())),
    }
}

/// The alerts a result stands for: entity and start of the window, as the engine groups them.
fn alerts(rule: &Detection, rows: &RecordBatch) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    if rows.num_rows() == 0 {
        return found;
    }
    let time_column = if rule.kind == Kind::Event { rule.table.time_column } else { "window_start" };
    // `date_bin` answers in nanoseconds.
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = arrow::compute::cast(rows.column_by_name(time_column).unwrap(), &micros).unwrap();
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let window = rule.window.num_microseconds().unwrap();
    for row in 0..rows.num_rows() {
        let start = times.value(row).div_euclid(window) * window;
        let mut alert = vec![start.to_string()];
        for column in &rule.entity {
            let column = rows.column_by_name(column).unwrap();
            assert!(!column.is_null(row), "{}: an entity column is null in row {row}", rule.id);
            alert.push(array_value_to_string(column, row).unwrap());
        }
        let new = found.insert(alert);
        if rule.kind == Kind::Aggregate {
            assert_eq!(start, times.value(row), "{}: window_start is not a multiple of the window", rule.id);
            assert!(new, "{}: two rows for one entity and window", rule.id);
            let count = rows.column_by_name("event_count").unwrap().as_primitive::<Int64Type>().value(row);
            assert!(count > 0, "{}: event_count", rule.id);
        }
    }
    found
}

#[test]
fn there_are_enough_and_none_shares_an_id() {
    let ids: BTreeSet<String> = rules().into_iter().map(|(_, rule)| rule.id).collect();
    assert_eq!(ids.len(), built_in().count());
    assert!(ids.len() >= 22, "{}", ids.len());
}

#[tokio::test]
async fn every_rule_plans_with_the_columns_the_engine_needs() {
    let session = sample::session(&CLOUDTRAIL, b"");
    for (_, rule) in rules() {
        let plan = session.sql(&rule.sql).await.unwrap_or_else(|error| panic!("{}: {error}", rule.id));
        let schema = plan.schema().as_arrow().clone();
        for column in rule.required_columns() {
            let field =
                schema.field_with_name(column).unwrap_or_else(|_| panic!("{}: no `{column}`", rule.id));
            let right = match column {
                "event_count" => *field.data_type() == DataType::Int64,
                "window_start" | "first_time" | "last_time" | "event_time" | "start_time" => {
                    matches!(field.data_type(), DataType::Timestamp(_, Some(_)))
                }
                _ => true,
            };
            assert!(right, "{}: `{column}` is {}", rule.id, field.data_type());
        }
        if rule.kind == Kind::Event {
            let plan = plan.logical_plan().display_indent().to_string();
            assert!(!plan.contains("Aggregate") && !plan.contains("Join"), "{}: {plan}", rule.id);
        }
        assert_eq!(run(&session, &rule).await.num_rows(), 0, "{}: rows out of nothing", rule.id);
    }
}

#[tokio::test]
async fn every_rule_passes_its_tests() {
    let mut failures = Vec::new();
    for (file, rule) in rules() {
        let tests = parse_tests(file.file, file.tests).unwrap_or_else(|error| panic!("{}: {error}", rule.id));
        for test in tests.tests {
            let session = sample::session(rule.table, &test.object);
            let rows = run(&session, &rule).await;
            let found = alerts(&rule, &rows);
            if found.len() != test.expect {
                failures.push(format!("{}: {}: {found:?}", rule.id, test.name));
            }
            for row in 0..rows.num_rows() {
                let words = rule.render_summary(|column| {
                    let column = rows.column_by_name(column).unwrap();
                    (!column.is_null(row)).then(|| array_value_to_string(column, row).unwrap())
                });
                assert!(!words.contains("(none)"), "{}: {}: {words}", rule.id, test.name);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn next_steps_name_queries_and_parameters_that_exist() {
    let queries: Vec<_> = crate::query::saved::built_in()
        .map(|(f, text)| crate::query::saved::parse(f, text).unwrap())
        .collect();
    for (_, rule) in rules() {
        let mut commands = 0;
        for command in rule.next_steps.split('`').filter(|text| text.starts_with("trailhound query ")) {
            commands += 1;
            let words: Vec<&str> = command.split_whitespace().collect();
            let query = queries.iter().find(|query| query.name == words[2]);
            let query = query.unwrap_or_else(|| panic!("{}: no query `{}`", rule.id, words[2]));
            let given =
                words.windows(2).filter(|pair| pair[0] == "-p").map(|pair| pair[1].split_once('=').unwrap());
            let given: Vec<_> = given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            query.bind(&given).unwrap_or_else(|error| panic!("{}: {command}: {error}", rule.id));
        }
        assert!(commands > 0, "{}: next steps without a query", rule.id);
    }
}

#[test]
fn the_documentation_lists_every_rule() {
    let page = include_str!("../../../docs/detections.md");
    for (_, rule) in rules() {
        let severity = serde_json::to_value(rule.severity).unwrap();
        let row = format!(
            "| `{}` | {} | {} | {} |",
            rule.id,
            severity.as_str().unwrap(),
            rule.title,
            rule.table.name
        );
        assert!(page.contains(&row), "docs/detections.md lacks {row}");
    }
}
