/*
name: source-address
title: What came from an address
description: >
  Who called from the address, with which keys and programs, what they called and how often it failed.
parameters:
  - {name: address, type: text, doc: "an IPv4 or IPv6 address, or the name of a service"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query source-address -p address=198.51.100.7
*/
select
    recipient_account_id,
    actor_arn,
    access_key_id,
    user_agent,
    count(*) as calls,
    count(error_code) as failed,
    string_agg(distinct event_source, ', ') as services,
    string_agg(distinct event_name, ', ') as event_names,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where source_ip_address = $address
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by recipient_account_id, actor_arn, access_key_id, user_agent
order by calls desc, first_time
