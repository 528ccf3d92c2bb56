/*
name: resource
title: What happened to a resource
description: >
  Every event that names the resource in its resources or its parameters, or in the answer, newest first. A
  part of an ARN, a bucket name or an instance id will do; upper and lower case matter.
parameters:
  - {name: resource, type: text, doc: "an ARN, an id or a name, or a part of it"}
  - {name: reads, type: text, default: "yes", doc: "`no` leaves out calls that only read"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 500, doc: "at most so many rows"}
example: trailhound query resource -p resource=i-0123456789abcdef0 -p reads=no
*/
select
    event_time,
    recipient_account_id,
    aws_region,
    actor_arn,
    event_source,
    event_name,
    error_code,
    source_ip_address,
    request_parameters,
    event_id
from cloudtrail
where (
      strpos(resources, $resource) > 0
      or strpos(request_parameters, $resource) > 0
      or strpos(response_elements, $resource) > 0
  )
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
  and ($reads <> 'no' or coalesce(read_only, false) = false)
order by event_time desc, event_id
limit $limit
