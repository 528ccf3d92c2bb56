/*
name: shared-access-keys
title: Access keys used from several addresses
description: >
  Long-term and temporary keys that signed calls from more than one address, most addresses first. Names of
  AWS services and internal addresses of AWS do not count as addresses.
parameters:
  - {name: addresses, type: integer, default: 2, doc: "from at least so many addresses"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 100, doc: "at most so many rows"}
example: trailhound query shared-access-keys -p addresses=5
*/
select
    access_key_id,
    min(actor_arn) as actor_arn,
    count(distinct source_ip_address) as addresses,
    string_agg(distinct source_ip_address, ', ') as source_addresses,
    count(distinct user_agent) as programs,
    count(*) as calls,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where access_key_id is not null
  and access_key_id <> ''
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and regexp_like(source_ip_address, '^[0-9]+(\.[0-9]+){3}$|:')
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by access_key_id
having count(distinct source_ip_address) >= $addresses
order by addresses desc, access_key_id
limit $limit
