/*
name: failed-calls
title: Failed calls by principal, action and error
description: >
  What was refused or went wrong, most frequent first. Many kinds of denials from one principal mean somebody
  tries around; one kind many times means a broken program.
parameters:
  - {name: principal, type: text, default: "%", doc: "an ARN, a user name, a role name or a principal id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 200, doc: "at most so many rows"}
example: trailhound query failed-calls -p since=2024-05-01
*/
select
    actor_arn,
    event_source,
    event_name,
    error_code,
    count(*) as calls,
    string_agg(distinct source_ip_address, ', ') as source_addresses,
    min(error_message) as example_message,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where error_code is not null
  and ($principal = '%' or actor_arn = $principal or identity_arn = $principal or identity_user_name = $principal
       or session_issuer_user_name = $principal or identity_principal_id = $principal)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by actor_arn, event_source, event_name, error_code
order by calls desc, actor_arn, event_name
limit $limit
