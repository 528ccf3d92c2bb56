/*
id: aws-secrets-read-in-bulk
title: Many secrets were read by one principal
description: >
  One principal read at least ten different secrets of Secrets Manager, or decrypted parameters of Parameter Store,
  within an hour. The same request counts once, however often it is made. A batch read by filter counts as its page:
  the secrets it names, else its page size, 20 at most; a read by path counts as one, unless the path is the root.
  Refused reads count too.
severity: high
mitre:
  tactics: [TA0006]
  techniques: [T1555.006]
data_source: cloudtrail
kind: aggregate
window: 1h
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} read about {secrets} secrets in {event_count} calls from {source_addresses}"
false_positives:
  - A controller that copies all secrets, such as External Secrets Operator.
  - A deployment that reads the settings of many services.
next_steps: >
  See which with `trailhound query secrets-read -p principal=<actor_arn>`. If nobody knows: end the principal's
  sessions, then change every secret on the list.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.credential-access.secretsmanager-retrieve-secrets/
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.credential-access.ssm-retrieve-securestring-parameters/
*/
with reading as (
    select
        event_id,
        event_time,
        recipient_account_id,
        actor_arn,
        source_ip_address,
        -- What was asked for: the same thing read often is read once.
        case event_name
            when 'GetSecretValue' then json_get_str(request_parameters, 'secretId')
            when 'GetParameter' then json_get_str(request_parameters, 'name')
            when 'GetParametersByPath' then json_get_str(request_parameters, 'path')
            else coalesce(
                case when json_length(request_parameters, 'names') = 1
                    then json_get_str(request_parameters, 'names', 0)
                    else json_get_json(request_parameters, 'names')
                end,
                request_parameters
            )
        end as asked,
        case event_name
            when 'GetParameters' then coalesce(cast(json_length(request_parameters, 'names') as bigint), 0)
            when 'BatchGetSecretValue' then coalesce(
                cast(json_length(request_parameters, 'secretIdList') as bigint),
                json_get_int(request_parameters, 'maxResults'),
                20
            )
            when 'GetParametersByPath' then
                case when json_get_str(request_parameters, 'path') = '/' then 20 else 1 end
            else 1
        end as secrets
    from cloudtrail
    where event_source in ('secretsmanager.amazonaws.com', 'ssm.amazonaws.com')
      and (
          event_name in ('GetSecretValue', 'BatchGetSecretValue')
          or (
              event_name in ('GetParameter', 'GetParameters', 'GetParametersByPath')
              and json_get_bool(request_parameters, 'withDecryption')
          )
      )
      and coalesce(identity_type, '') <> 'AWSService'
      and actor_arn is not null
      and actor_arn not like '%:role/aws-service-role/%'
),
asked_once as (
    select
        recipient_account_id,
        actor_arn,
        date_bin(interval '1 hour', event_time) as window_start,
        asked,
        max(secrets) as secrets,
        min(event_time) as first_time,
        max(event_time) as last_time,
        count(*) as event_count,
        min(event_id) as event_id,
        min(source_ip_address) as source_address
    from reading
    group by recipient_account_id, actor_arn, date_bin(interval '1 hour', event_time), asked
)
select
    recipient_account_id,
    actor_arn,
    window_start,
    min(first_time) as first_time,
    max(last_time) as last_time,
    sum(event_count) as event_count,
    array_agg(event_id) as event_ids,
    sum(secrets) as secrets,
    string_agg(distinct source_address, ', ') as source_addresses
from asked_once
group by recipient_account_id, actor_arn, window_start
having sum(secrets) >= 10
