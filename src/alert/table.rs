//! The `alerts` table: findings merged into it by id, together with how far each rule has come.
//!
//! A day's alerts are one file, written anew when one of them changes. Findings and the progress of the rules that
//! made them are one commit, so that a run that dies leaves neither or both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Alert, Severity};
use crate::decode::time;
use crate::lake::{self, ALERTS, Action, DataFile, Lake, SharedRows, TableLog};

/// Tries before a commit to a table that others keep changing is given up.
const TRIES: u32 = 12;

/// How a delivery to one sink stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Whether it is still to be made.
    pub state: DeliveryState,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Not to be tried before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
}

/// Whether a delivery is still to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be made.
    Pending,
    /// Made.
    Delivered,
    /// The sink will never take it.
    Refused,
}

impl Delivery {
    /// A delivery that is to be made.
    pub fn pending() -> Self {
        Delivery { state: DeliveryState::Pending, attempts: 0, last_error: None, not_before: None }
    }
}

/// An alert with the state of its deliveries, by sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The alert.
    pub alert: Alert,
    /// Sink to delivery.
    pub deliveries: BTreeMap<String, Delivery>,
}

/// The table of one lake.
pub struct AlertTable<'a> {
    lake: &'a Lake,
}

/// What a change of the table wants done.
pub struct Change {
    /// The days whose alerts it may change, as [`day_of`] gives them.
    pub days: BTreeSet<Option<NaiveDate>>,
    /// Applications and how far they have come.
    pub progress: Vec<(String, i64)>,
}

impl<'a> AlertTable<'a> {
    /// The table of a lake.
    pub fn new(lake: &'a Lake) -> Self {
        AlertTable { lake }
    }

    fn log(&self) -> Result<&'a TableLog, lake::Error> {
        self.lake.log(ALERTS.name)
    }

    /// All alerts, newest window first.
    pub async fn all(&self) -> Result<Vec<Stored>, lake::Error> {
        let snapshot = self.log()?.snapshot().await?;
        let mut alerts = self.read(&snapshot.files).await?;
        alerts.sort_by(|a, b| {
            (b.alert.first_time, &b.alert.alert_id).cmp(&(a.alert.first_time, &a.alert.alert_id))
        });
        Ok(alerts)
    }

    /// How far applications have come.
    pub async fn progress(&self, app_ids: &[String]) -> Result<Vec<Option<i64>>, lake::Error> {
        Ok(self.log()?.progress(app_ids).await?.1)
    }

    async fn read(&self, files: &[DataFile]) -> Result<Vec<Stored>, lake::Error> {
        let columns: Vec<&str> = ALERTS.columns.iter().map(|column| column.name).collect();
        let mut alerts = Vec::new();
        for file in files {
            for batch in self.log()?.read_file(&file.path, &columns).await? {
                alerts.extend(from_batch(&batch)?);
            }
        }
        Ok(alerts)
    }

    /// Changes alerts: `edit` gets those of the change's days as they are now, by id, and changes them; it may be
    /// called again when another writer was faster. Returns what `edit` returned when its change was committed.
    ///
    /// `edit` also gets how far the change's applications have come, in order. Nothing is written when it returns none.
    pub async fn change<T>(
        &self,
        change: Change,
        mut edit: impl FnMut(&mut BTreeMap<String, Stored>, &[Option<i64>]) -> Option<(T, Vec<(String, i64)>)>,
    ) -> Result<Option<T>, lake::Error> {
        let log = self.log()?;
        log.check_writable().await?;
        let app_ids: Vec<String> = change.progress.iter().map(|(app_id, _)| app_id.clone()).collect();
        let mut last_error = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(10 << attempt.min(6))).await;
            }
            // Progress first: if the table moves on before the snapshot, the commit to the next version fails.
            let (version, progress) = log.progress(&app_ids).await?;
            let snapshot = log.snapshot().await?;
            if snapshot.version != version {
                continue;
            }
            let of_days = |file: &&DataFile| change.days.contains(&file.event_date);
            let files: Vec<DataFile> = snapshot.files.iter().filter(of_days).cloned().collect();
            let before: BTreeMap<String, Stored> = self
                .read(&files)
                .await?
                .into_iter()
                .map(|stored| (stored.alert.alert_id.clone(), stored))
                .collect();
            let mut after = before.clone();
            let Some((result, advanced)) = edit(&mut after, &progress) else { return Ok(None) };
            let mut actions = self.rewrite(log, &files, &before, after).await?;
            actions.extend(advanced.into_iter().map(|(app_id, version)| Action::txn(app_id, version)));
            if actions.is_empty() {
                return Ok(Some(result));
            }
            actions.insert(0, log.info("MERGE", self.lake.now_millis(), &json!({}))?);
            match log.try_commit(version + 1, &actions).await {
                Ok(()) => return Ok(Some(result)),
                Err(error) => {
                    // If this very commit landed after all, the next round finds its progress and its alerts.
                    last_error = Some(error);
                }
            }
        }
        Err(last_error.unwrap_or(lake::Error::Contended { table: ALERTS.name, tries: TRIES }))
    }

    /// The actions that put `after` in the place of `before`, file by file of a day that changed.
    async fn rewrite(
        &self,
        log: &TableLog,
        files: &[DataFile],
        before: &BTreeMap<String, Stored>,
        after: BTreeMap<String, Stored>,
    ) -> Result<Vec<Action>, lake::Error> {
        let day_of = |stored: &Stored| day_of(stored.alert.window_start);
        let changed: BTreeSet<Option<NaiveDate>> = after
            .values()
            .filter(|stored| before.get(&stored.alert.alert_id) != Some(stored))
            .map(day_of)
            .collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.lake.now_millis();
        let kept: Vec<Stored> =
            after.into_values().filter(|stored| changed.contains(&day_of(stored))).collect();
        let stored =
            self.lake.encode_and_store(log, vec![SharedRows::all(log.table(), to_batch(&kept)?)]).await?;
        let old = files.iter().filter(|file| changed.contains(&file.event_date));
        let mut actions: Vec<Action> = old.map(|file| Action::remove(&file.path, now)).collect();
        actions.extend(stored.iter().map(|(path, encoded)| Action::add(encoded.add(path, now))));
        Ok(actions)
    }
}

/// The day of the files that hold the alerts of a window; none, as for rows of logs, where it is absurd.
pub fn day_of(window_start: DateTime<Utc>) -> Option<NaiveDate> {
    time::event_date(window_start.timestamp_micros()).map(|_| window_start.date_naive())
}

fn to_batch(alerts: &[Stored]) -> Result<RecordBatch, lake::Error> {
    let text = |get: &dyn Fn(&Alert) -> String| -> ArrayRef {
        Arc::new(alerts.iter().map(|stored| Some(get(&stored.alert))).collect::<StringArray>())
    };
    let time = |get: &dyn Fn(&Alert) -> DateTime<Utc>| -> ArrayRef {
        let times = alerts.iter().map(|stored| Some(get(&stored.alert).timestamp_micros()));
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let columns = ALERTS.columns.iter().map(|column| match column.name {
        "alert_id" => text(&|a| a.alert_id.clone()),
        "rule_id" => text(&|a| a.rule_id.clone()),
        "title" => text(&|a| a.title.clone()),
        "severity" => text(&|a| a.severity.name().to_owned()),
        "entity" => text(&|a| json!(a.entity).to_string()),
        "summary" => text(&|a| a.summary.clone()),
        "window_start" => time(&|a| a.window_start),
        "first_time" => time(&|a| a.first_time),
        "last_time" => time(&|a| a.last_time),
        "event_count" => Arc::new(alerts.iter().map(|s| Some(s.alert.event_count)).collect::<Int64Array>()),
        "event_ids" => text(&|a| json!(a.event_ids).to_string()),
        "mitre_tactics" => text(&|a| json!(a.mitre_tactics).to_string()),
        "mitre_techniques" => text(&|a| json!(a.mitre_techniques).to_string()),
        "next_steps" => text(&|a| a.next_steps.clone()),
        "evidence" => text(&|a| json!(a.evidence).to_string()),
        "created_at" => time(&|a| a.created_at),
        "deliveries" => {
            Arc::new(alerts.iter().map(|s| Some(json!(s.deliveries).to_string())).collect::<StringArray>())
        }
        "event_date" => {
            let days = alerts.iter().map(|s| time::event_date(s.alert.window_start.timestamp_micros()));
            Arc::new(days.collect::<Date32Array>())
        }
        other => unreachable!("`alerts` has no column `{other}`"),
    });
    lake::batch(&ALERTS, columns.collect())
}

fn from_batch(batch: &RecordBatch) -> Result<Vec<Stored>, lake::Error> {
    (0..batch.num_rows()).map(|row| from_row(batch, row)).collect()
}

fn from_row(batch: &RecordBatch, row: usize) -> Result<Stored, lake::Error> {
    let wrong = |column: &str, what: &str| lake::Error::Value {
        table: ALERTS.name,
        column: column.to_owned(),
        problem: what.to_owned(),
    };
    let column = |name: &str| {
        let array = batch.column_by_name(name).ok_or_else(|| wrong(name, "is missing"))?;
        if array.is_null(row) { Err(wrong(name, "is null")) } else { Ok(array) }
    };
    let text = |name: &str| Ok::<_, lake::Error>(column(name)?.as_string::<i32>().value(row).to_owned());
    let time = |name: &str| {
        let micros = column(name)?.as_primitive::<TimestampMicrosecondType>().value(row);
        DateTime::from_timestamp_micros(micros).ok_or_else(|| wrong(name, "is out of range"))
    };
    let alert = Alert {
        alert_id: text("alert_id")?,
        rule_id: text("rule_id")?,
        title: text("title")?,
        severity: Severity::parse(&text("severity")?)
            .ok_or_else(|| wrong("severity", "is not a severity"))?,
        entity: parsed("entity", &text("entity")?)?,
        summary: text("summary")?,
        window_start: time("window_start")?,
        first_time: time("first_time")?,
        last_time: time("last_time")?,
        event_count: column("event_count")?.as_primitive::<Int64Type>().value(row),
        event_ids: parsed("event_ids", &text("event_ids")?)?,
        mitre_tactics: parsed("mitre_tactics", &text("mitre_tactics")?)?,
        mitre_techniques: parsed("mitre_techniques", &text("mitre_techniques")?)?,
        next_steps: text("next_steps")?,
        evidence: parsed("evidence", &text("evidence")?)?,
        created_at: time("created_at")?,
    };
    Ok(Stored { alert, deliveries: parsed("deliveries", &text("deliveries")?)? })
}

fn parsed<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, lake::Error> {
    serde_json::from_str(text).map_err(|error| lake::Error::Value {
        table: ALERTS.name,
        column: column.to_owned(),
        problem: format!("is not the expected JSON: {error}"),
    })
}
