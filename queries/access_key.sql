/*
name: access-key
title: Who used this access key, from where, for what
description: >
  One row for each principal, address and client program that signed calls with the key, with the services
  called and how many calls failed. A key that suddenly comes from a new address is the first thing to look
  for.
parameters:
  - {name: key, type: text, doc: "the access key id, e.g. AKIAIOSFODNN7EXAMPLE"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query access-key -p key=AKIAIOSFODNN7EXAMPLE
*/
select
    actor_arn,
    identity_principal_id,
    source_ip_address,
    user_agent,
    count(*) as calls,
    count(error_code) as failed,
    count(distinct event_name) as kinds,
    string_agg(distinct event_source, ', ') as services,
    string_agg(distinct aws_region, ', ') as regions,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where access_key_id = $key
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by actor_arn, identity_principal_id, source_ip_address, user_agent
order by first_time
