/*
name: new-regions
title: Regions used for the first time lately
description: >
  Regions in which an account made its first changing call within the last days of the data, counted back from
  its newest event. Intruders like regions where nobody looks.
parameters:
  - {name: days, type: integer, default: 7, doc: "how many days back from the newest event"}
example: trailhound query new-regions -p days=30
*/
select
    recipient_account_id,
    aws_region,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(*) as calls,
    string_agg(distinct actor_arn, ', ') as principals,
    string_agg(distinct event_name, ', ') as event_names
from cloudtrail
where read_only = false
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and coalesce(identity_type, '') <> 'AWSService'
group by recipient_account_id, aws_region
having min(event_time) >= (select max(event_time) from cloudtrail) - cast($days || ' days' as interval)
order by first_time desc
