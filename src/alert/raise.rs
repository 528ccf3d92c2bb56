//! Running detections over a lake and raising alerts from what they find.
//!
//! Progress is counted in table versions and committed together with the alerts: a version is never skipped and
//! never counted twice, whatever dies in between and whoever else runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::table::{AlertTable, Change, Delivery, Stored, day_of};
use super::{Alert, Severity};
use crate::detect::detection::{Detection, Kind};
use crate::detect::{self, Finding, MAX_EVENT_IDS, Scope, Span};
use crate::lake::{self, DataFile, Lake};
use crate::query::Limits;

/// A sink as far as raising alerts matters: alerts of this severity and above are to be delivered to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The sink's name.
    pub sink: String,
    /// The least severity it wants.
    pub minimum_severity: Severity,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Alerts that are new, newest last.
    pub raised: Vec<Alert>,
    /// Alerts that were there and have more events now.
    pub amended: Vec<Alert>,
    /// In a run over the past: findings that are alerts already.
    pub known: Vec<Alert>,
    /// Rules that ran.
    pub rules_run: usize,
    /// Rules with nothing new to read.
    pub rules_idle: usize,
    /// Rows that came in since the rules last ran, by table.
    pub new_rows: BTreeMap<&'static str, u64>,
    /// Findings beyond the limit of a rule, by rule.
    pub suppressed: BTreeMap<String, usize>,
    /// Rules that failed; they run again over the same rows next time.
    pub failed: Vec<(String, detect::Error)>,
}

/// Runs detections over one lake.
pub struct Runner<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// The rules.
    pub detections: &'a [Detection],
    /// What a rule's query may use.
    pub limits: Limits,
    /// Who wants new alerts.
    pub subscribers: Vec<Subscriber>,
}

/// The rules of one table that have read it up to the same version, and what is new for them.
struct Group<'d> {
    after: i64,
    head: i64,
    scope: Scope,
    detections: Vec<&'d Detection>,
}

/// What one rule found, not committed yet.
struct Ran {
    app_id: String,
    after: i64,
    head: i64,
    days: BTreeSet<Option<NaiveDate>>,
    mode: Merge,
    alerts: Vec<Alert>,
}

impl Runner<'_> {
    /// Runs every rule over what was added since it last ran, and raises alerts: in one commit, with the progress.
    pub async fn run_new(&self, mut started: impl FnMut(&Detection)) -> Result<Outcome, lake::Error> {
        let mut outcome = Outcome::default();
        let mut ran = Vec::new();
        for table in lake::DATA_TABLES {
            let rules: Vec<&Detection> =
                self.detections.iter().filter(|d| d.table.name == table.name).collect();
            if rules.is_empty() {
                continue;
            }
            let log = self.lake.log(table.name)?;
            let snapshot = log.snapshot().await?;
            // Progress must not outlive the versions it counts: others in their place would never be looked at.
            log.settle().await?;
            for group in self.groups(table.name, snapshot.version, rules, &mut outcome).await? {
                for detection in &group.detections {
                    started(detection);
                    ran.extend(self.run_one(detection, &group, &snapshot.files, &mut outcome).await);
                }
            }
        }
        self.settle_new(&ran, &mut outcome).await?;
        outcome.raised.sort_by_key(|alert| (alert.first_time, alert.alert_id.clone()));
        Ok(outcome)
    }

    /// Runs every rule over a span of the past. Progress stays as it is; alerts are stored only if asked.
    pub async fn run_past(
        &self,
        span: Span,
        store: bool,
        mut started: impl FnMut(&Detection),
    ) -> Result<Outcome, lake::Error> {
        let mut outcome = Outcome::default();
        let scope = Scope::Past(span);
        for table in lake::DATA_TABLES {
            let snapshot = self.lake.log(table.name)?.snapshot().await?;
            for detection in self.detections.iter().filter(|d| d.table.name == table.name) {
                started(detection);
                outcome.rules_run += 1;
                match detect::evaluate(self.lake, detection, &scope, &snapshot.files, &self.limits).await {
                    Ok(found) => {
                        outcome.note_suppressed(detection, found.suppressed);
                        self.settle_past(detection, found.findings, store, &mut outcome).await?;
                    }
                    Err(error) => outcome.failed.push((detection.id.clone(), error)),
                }
            }
        }
        outcome.raised.sort_by_key(|alert| (alert.first_time, alert.alert_id.clone()));
        Ok(outcome)
    }

    /// Groups rules by how far they have come, and reads what is new for each group once.
    async fn groups<'d>(
        &self,
        table: &'static str,
        head: i64,
        rules: Vec<&'d Detection>,
        outcome: &mut Outcome,
    ) -> Result<Vec<Group<'d>>, lake::Error> {
        let app_ids: Vec<String> = rules.iter().map(|rule| app_id(rule)).collect();
        let progress = AlertTable::new(self.lake).progress(&app_ids).await?;
        let mut by_version: BTreeMap<i64, Vec<&Detection>> = BTreeMap::new();
        for (rule, done) in rules.into_iter().zip(progress) {
            // Version 0 creates the table and adds nothing.
            by_version.entry(done.unwrap_or(0)).or_default().push(rule);
        }
        let mut groups = Vec::new();
        for (after, detections) in by_version {
            if after >= head {
                outcome.rules_idle += detections.len();
                continue;
            }
            let scope = match Scope::added(self.lake.log(table)?, after, head).await {
                Ok(scope) => scope,
                // These rules cannot go on; those that are past the versions that are gone can.
                Err(lake::Error::VersionGone { table, version }) => {
                    let gone = || detect::Error::Lake(lake::Error::VersionGone { table, version });
                    outcome.failed.extend(detections.iter().map(|rule| (rule.id.clone(), gone())));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Scope::Added { files, .. } = &scope {
                let rows: u64 = files.iter().filter_map(|file| file.rows).sum();
                let most = outcome.new_rows.entry(table).or_default();
                *most = rows.max(*most);
            }
            groups.push(Group { after, head, scope, detections });
        }
        Ok(groups)
    }

    async fn run_one(
        &self,
        detection: &Detection,
        group: &Group<'_>,
        live: &[DataFile],
        outcome: &mut Outcome,
    ) -> Option<Ran> {
        let found = match detect::evaluate(self.lake, detection, &group.scope, live, &self.limits).await {
            Ok(found) => found,
            Err(error) => {
                outcome.failed.push((detection.id.clone(), error));
                return None;
            }
        };
        outcome.rules_run += 1;
        outcome.note_suppressed(detection, found.suppressed);
        Some(Ran {
            app_id: app_id(detection),
            after: group.after,
            head: group.head,
            days: days(&found.findings),
            mode: if detection.kind == Kind::Event { Merge::Add } else { Merge::Replace },
            alerts: self.alerts(detection, found.findings),
        })
    }

    /// Commits what the rules found together with how far they have come.
    async fn settle_new(&self, ran: &[Ran], outcome: &mut Outcome) -> Result<(), lake::Error> {
        if ran.is_empty() {
            return Ok(());
        }
        let change = Change {
            days: ran.iter().flat_map(|ran| ran.days.iter().copied()).collect(),
            progress: ran.iter().map(|ran| (ran.app_id.clone(), ran.head)).collect(),
        };
        let merged = AlertTable::new(self.lake)
            .change(change, |stored, progress| {
                let (mut raised, mut amended, mut advanced) = (Vec::new(), Vec::new(), Vec::new());
                for (ran, done) in ran.iter().zip(progress) {
                    // Somebody else ran this rule meanwhile: what it found is there, and ours would count twice.
                    if done.unwrap_or(0) != ran.after {
                        continue;
                    }
                    let (new, changed) = merge(stored, &ran.alerts, ran.mode, &self.subscribers);
                    raised.extend(new);
                    amended.extend(changed);
                    advanced.push((ran.app_id.clone(), ran.head));
                }
                Some(((raised, amended), advanced))
            })
            .await?;
        if let Some((raised, amended)) = merged {
            outcome.raised.extend(raised);
            outcome.amended.extend(amended);
        }
        Ok(())
    }

    async fn settle_past(
        &self,
        detection: &Detection,
        findings: Vec<Finding>,
        store: bool,
        outcome: &mut Outcome,
    ) -> Result<(), lake::Error> {
        let change = Change { days: days(&findings), progress: Vec::new() };
        let alerts = self.alerts(detection, findings);
        if alerts.is_empty() {
            return Ok(());
        }
        let mut known = BTreeSet::new();
        let merged = AlertTable::new(self.lake)
            .change(change, |stored, _| {
                known = alerts
                    .iter()
                    .map(|a| &a.alert_id)
                    .filter(|id| stored.contains_key(*id))
                    .cloned()
                    .collect();
                store.then(|| (merge(stored, &alerts, Merge::Keep, &self.subscribers), Vec::new()))
            })
            .await?;
        let (old, new): (Vec<Alert>, Vec<Alert>) =
            alerts.into_iter().partition(|alert| known.contains(&alert.alert_id));
        outcome.known.extend(old);
        outcome.raised.extend(merged.map_or(new, |(raised, _)| raised));
        Ok(())
    }

    fn alerts(&self, detection: &Detection, findings: Vec<Finding>) -> Vec<Alert> {
        let now = self.lake.clock().now();
        findings.into_iter().map(|finding| Alert::new(detection, finding, now)).collect()
    }
}

impl Outcome {
    fn note_suppressed(&mut self, detection: &Detection, count: usize) {
        if count > 0 {
            self.suppressed.insert(detection.id.clone(), count);
        }
    }
}

/// What to do with a finding that is an alert already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Its events are new ones: add them up.
    Add,
    /// It was evaluated over the whole window again: it takes the place of what is there.
    Replace,
    /// It was seen before: leave the alert as it is.
    Keep,
}

/// Merges alerts into those stored; returns the new and the amended ones.
fn merge(
    stored: &mut BTreeMap<String, Stored>,
    alerts: &[Alert],
    mode: Merge,
    subscribers: &[Subscriber],
) -> (Vec<Alert>, Vec<Alert>) {
    let (mut raised, mut amended) = (Vec::new(), Vec::new());
    for alert in alerts {
        let Some(known) = stored.get_mut(&alert.alert_id) else {
            let wanted =
                subscribers.iter().filter(|subscriber| alert.severity >= subscriber.minimum_severity);
            let deliveries =
                wanted.map(|subscriber| (subscriber.sink.clone(), Delivery::pending())).collect();
            stored.insert(alert.alert_id.clone(), Stored { alert: alert.clone(), deliveries });
            raised.push(alert.clone());
            continue;
        };
        let before = known.alert.clone();
        match mode {
            Merge::Keep => {}
            Merge::Add => add_events(&mut known.alert, alert),
            Merge::Replace => replace_events(&mut known.alert, alert),
        }
        if known.alert != before {
            amended.push(known.alert.clone());
        }
    }
    (raised, amended)
}

fn add_events(known: &mut Alert, more: &Alert) {
    known.first_time = known.first_time.min(more.first_time);
    known.last_time = known.last_time.max(more.last_time);
    // An event that was delivered twice is one.
    let new: Vec<&String> = more.event_ids.iter().filter(|id| !known.event_ids.contains(id)).collect();
    let again = i64::try_from(more.event_ids.len() - new.len()).unwrap_or(0);
    known.event_count = known.event_count.saturating_add(more.event_count.saturating_sub(again));
    let room = MAX_EVENT_IDS.saturating_sub(known.event_ids.len());
    known.event_ids.extend(new.into_iter().take(room).cloned());
}

fn replace_events(known: &mut Alert, now: &Alert) {
    known.first_time = now.first_time;
    known.last_time = now.last_time;
    known.event_count = now.event_count;
    known.event_ids.clone_from(&now.event_ids);
    known.summary.clone_from(&now.summary);
}

/// The application id under which the `alerts` table notes how far a rule has read its table.
fn app_id(detection: &Detection) -> String {
    format!("trailhound/detect/{}/{}", detection.table.name, detection.id)
}

fn days(findings: &[Finding]) -> BTreeSet<Option<NaiveDate>> {
    let day = |finding: &Finding| DateTime::<Utc>::from_timestamp_micros(finding.window_start).map(day_of);
    findings.iter().filter_map(day).collect()
}
