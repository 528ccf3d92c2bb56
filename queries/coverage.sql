/*
name: coverage
title: What the trail holds, by account, region and day
description: >
  How many events arrived for each account, region and day, from when to when, and in how many hours of the
  day there was any: a hole shows as few hours, a stopped trail as missing days.
parameters:
  - {name: account, type: text, default: "%", doc: "an account id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query coverage -p since=2024-05-01
*/
select
    recipient_account_id,
    aws_region,
    event_date,
    count(*) as events,
    count(*) filter (where event_category = 'Data') as data_events,
    count(distinct date_trunc('hour', event_time)) as hours,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where ($account = '%' or recipient_account_id like $account)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by recipient_account_id, aws_region, event_date
order by event_date desc, recipient_account_id, aws_region
