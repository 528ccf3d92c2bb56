/*
id: aws-denied-calls
title: Many calls of one principal were denied
description: >
  At least 20 calls of at least five kinds were denied to one principal within fifteen minutes: somebody tries what
  the credentials can do. A broken program repeats one call, which does not count.
severity: medium
mitre:
  tactics: [TA0007]
  techniques: [T1580, T1526]
data_source: cloudtrail
kind: aggregate
window: 15m
entity: [recipient_account_id, actor_arn]
summary: "{event_count} calls of {kinds} kinds were denied to {actor_arn} from {source_addresses}"
false_positives:
  - A posture scanner with too few rights.
  - A person in the console whose role may see little.
next_steps: >
  See what was tried with `trailhound query failed-calls -p principal=<actor_arn>`, and what succeeded in between with
  `trailhound query principal-timeline -p principal=<actor_arn>`. Credentials that try around are usually stolen:
  deactivate the key or end the sessions.
references:
  - https://attack.mitre.org/techniques/T1580/
*/
select
    recipient_account_id,
    actor_arn,
    date_bin(interval '15 minutes', event_time) as window_start,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(*) as event_count,
    array_agg(event_id) as event_ids,
    count(distinct event_name) as kinds,
    string_agg(distinct source_ip_address, ', ') as source_addresses,
    string_agg(distinct event_name, ', ') as event_names
from cloudtrail
where error_code is not null
  and (
      strpos(error_code, 'AccessDenied') > 0
      or strpos(error_code, 'UnauthorizedOperation') > 0
      or error_code in ('AuthorizationError', 'AuthorizationErrorException', 'NotAuthorizedException')
  )
  and actor_arn is not null
  and coalesce(identity_type, '') <> 'AWSService'
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and actor_arn not like '%:role/aws-service-role/%'
group by recipient_account_id, actor_arn, date_bin(interval '15 minutes', event_time)
having count(*) >= 20 and count(distinct event_name) >= 5
