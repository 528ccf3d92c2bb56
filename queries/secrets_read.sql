/*
name: secrets-read
title: Secrets and decrypted parameters that were read
description: >
  One row for each principal and secret: how often, how often it was refused, from where, and when.
parameters:
  - {name: principal, type: text, default: "%", doc: "an ARN, a user name, a role name or a principal id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 1000, doc: "at most so many rows"}
example: trailhound query secrets-read -p principal=arn:aws:iam::111122223333:role/app
*/
select
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'secretId'),
        json_get_str(request_parameters, 'name'),
        json_get_str(request_parameters, 'path'),
        json_get_json(request_parameters, 'names'),
        json_get_json(request_parameters, 'secretIdList'),
        json_get_json(request_parameters, 'filters')
    ) as secret,
    count(*) as calls,
    count(error_code) as failed,
    string_agg(distinct source_ip_address, ', ') as source_addresses,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where event_source in ('secretsmanager.amazonaws.com', 'ssm.amazonaws.com')
  and (
      event_name in ('GetSecretValue', 'BatchGetSecretValue')
      or (
          event_name in ('GetParameter', 'GetParameters', 'GetParametersByPath')
          and json_get_bool(request_parameters, 'withDecryption')
      )
  )
  and ($principal = '%' or actor_arn = $principal or identity_arn = $principal or identity_user_name = $principal
       or session_issuer_user_name = $principal or identity_principal_id = $principal)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by actor_arn, event_name, secret
order by last_time desc, secret
limit $limit
