/*
name: principal-timeline
title: What a principal did, call by call
description: >
  Every call of the principal in order of time. Reading calls are there too; leave them out with `-p
  reads=no`.
parameters:
  - {name: principal, type: text, doc: "an ARN, a user name, a role name, a principal id or the id of a user of IAM Identity Center"}
  - {name: reads, type: text, default: "yes", doc: "`no` leaves out calls that only read"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 1000, doc: "at most so many rows"}
example: trailhound query principal-timeline -p principal=alice -p since=2024-05-01 -p reads=no
*/
select
    event_time,
    recipient_account_id,
    aws_region,
    event_source,
    event_name,
    error_code,
    source_ip_address,
    access_key_id,
    user_agent,
    request_parameters,
    event_id
from cloudtrail
where (
      actor_arn = $principal
      or identity_arn = $principal
      or identity_user_name = $principal
      or session_issuer_user_name = $principal
      or identity_principal_id = $principal
      or on_behalf_of_user_id = $principal
  )
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
  and ($reads <> 'no' or coalesce(read_only, false) = false)
order by event_time, event_id
limit $limit
