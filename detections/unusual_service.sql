/*
id: aws-unusual-service
title: A principal used a service it had not used before
description: >
  A principal with a history of at least a day and 50 calls in the fourteen days before called a service for the first
  time in those fourteen days. Stolen credentials show themselves this way: the thief looks around. AWS services, and
  calls they make on somebody's behalf, are left out. New principals raise nothing. Failed calls count as successful ones
  do.
severity: low
mitre:
  tactics: [TA0007]
  techniques: [T1526, T1580]
data_source: cloudtrail
kind: aggregate
window: 1d
lookback: 14d
entity: [recipient_account_id, actor_arn, event_source]
summary: "{actor_arn} used {event_source} for the first time in 14 days: {event_names} from {source_addresses}"
false_positives:
  - People in the console, where one page calls many services.
  - A new release of a program.
next_steps: >
  Compare with what the principal usually does: `trailhound query principal -p principal=<actor_arn>`, and look at the
  day: `trailhound query principal-timeline -p principal=<actor_arn>`.
references:
  - https://attack.mitre.org/techniques/T1526/
*/
with daily as (
    -- The one scan: what each principal called on each day.
    select
        recipient_account_id,
        actor_arn,
        event_source,
        date_bin(interval '1 day', event_time) as window_start,
        min(event_time) as first_time,
        max(event_time) as last_time,
        count(*) as event_count,
        -- One example: the ids of everything would be held in memory.
        make_array(min(event_id)) as event_ids,
        string_agg(distinct event_name, ', ') as event_names,
        string_agg(distinct source_ip_address, ', ') as source_addresses
    from cloudtrail
    where event_time is not null
      and actor_arn is not null
      and identity_type in ('IAMUser', 'AssumedRole', 'FederatedUser', 'IdentityCenterUser', 'Root')
      and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
      and actor_arn not like '%:role/aws-service-role/%'
    group by recipient_account_id, actor_arn, event_source, date_bin(interval '1 day', event_time)
),
history as (
    select
        *,
        lag(window_start) over (
            partition by recipient_account_id, actor_arn, event_source order by window_start
        ) as day_before,
        min(first_time) over (
            partition by recipient_account_id, actor_arn order by window_start
            range between interval '14 days' preceding and current row
        ) as known_since,
        sum(event_count) over (
            partition by recipient_account_id, actor_arn order by window_start
            range between interval '14 days' preceding and interval '1 day' preceding
        ) as calls_before
    from daily
)
select
    recipient_account_id,
    actor_arn,
    event_source,
    window_start,
    first_time,
    last_time,
    event_count,
    event_ids,
    event_names,
    source_addresses,
    known_since,
    calls_before
from history
where (day_before is null or day_before < window_start - interval '14 days')
  and known_since <= first_time - interval '1 day'
  and calls_before >= 50
