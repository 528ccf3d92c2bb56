/*
name: iam-changes
title: Changes of users, roles, groups, policies and keys
description: >
  Every call of IAM that changes something, newest first, with what it was about. Failed attempts are there
  too.
parameters:
  - {name: principal, type: text, default: "%", doc: "an ARN, a user name, a role name or a principal id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 500, doc: "at most so many rows"}
example: trailhound query iam-changes -p since=2024-05-01
*/
select
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'userName'),
        json_get_str(request_parameters, 'roleName'),
        json_get_str(request_parameters, 'groupName'),
        json_get_str(request_parameters, 'instanceProfileName'),
        json_get_str(request_parameters, 'policyName')
    ) as target,
    json_get_str(request_parameters, 'policyArn') as policy_arn,
    error_code,
    source_ip_address,
    event_id
from cloudtrail
where event_source = 'iam.amazonaws.com'
  and coalesce(
      read_only,
      regexp_like(event_name, '^(Get|List|Generate|Simulate)')
  ) = false
  and ($principal = '%' or actor_arn = $principal or identity_arn = $principal or identity_user_name = $principal
       or session_issuer_user_name = $principal or identity_principal_id = $principal)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
order by event_time desc, event_id
limit $limit
