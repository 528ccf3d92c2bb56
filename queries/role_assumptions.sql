/*
name: role-assumptions
title: Who assumed a role
description: >
  Every principal that assumed the role, or tried to, with the session names it chose, from where, and the
  first and last time. The role is found by name or ARN in the call.
parameters:
  - {name: role, type: text, doc: "the name or the ARN of the role"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query role-assumptions -p role=admin
*/
select
    coalesce(actor_arn, identity_principal_id, 'unknown') as principal,
    event_name,
    json_get_str(request_parameters, 'roleArn') as role_arn,
    source_ip_address,
    error_code,
    count(*) as calls,
    string_agg(distinct json_get_str(request_parameters, 'roleSessionName'), ', ') as session_names,
    string_agg(distinct json_get_str(response_elements, 'credentials', 'accessKeyId'), ', ') as access_keys,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where event_source = 'sts.amazonaws.com'
  and event_name in ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity')
  and (
      json_get_str(request_parameters, 'roleArn') = $role
      or ends_with(json_get_str(request_parameters, 'roleArn'), '/' || $role)
  )
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by principal, event_name, role_arn, source_ip_address, error_code
order by last_time desc
