/*
id: aws-cloudtrail-stopped
title: CloudTrail was stopped, deleted or narrowed
description: >
  A trail or event data store was stopped or deleted, or changed so that it records less: one region only, no global
  services, no log file validation, no management events, or only reads or only writes. This is how an intruder goes
  dark. Refused attempts count too, since nobody tries this by accident; calls about a trail that does not exist do not.
severity: critical
mitre:
  tactics: [TA0005]
  techniques: [T1562.008]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} called {event_name} on trail {trail} from {source_ip_address} ({result})"
false_positives:
  - A trail replaced by an organization trail.
  - Infrastructure as code that tears down a test account.
next_steps: >
  Start logging again first: `aws cloudtrail start-logging --name <trail>`. Then see what this principal did before and
  after with `trailhound query principal-timeline -p principal=<actor_arn>`, and where the trail has holes with
  `trailhound query coverage`.
references:
  - https://attack.mitre.org/techniques/T1562/008/
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.defense-evasion.cloudtrail-stop/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'name'),
        json_get_str(request_parameters, 'trailName'),
        json_get_str(request_parameters, 'eventDataStore'),
        'unknown'
    ) as trail,
    coalesce(error_code, 'succeeded') as result,
    source_ip_address,
    aws_region,
    user_agent,
    request_parameters
from cloudtrail
where event_source = 'cloudtrail.amazonaws.com'
  and event_name in (
      'StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors', 'StopEventDataStoreIngestion',
      'DeleteEventDataStore'
  )
  and coalesce(identity_type, '') <> 'AWSService'
  and (error_code is null or strpos(error_code, 'AccessDenied') > 0 or strpos(error_code, 'Unauthorized') > 0)
  and case event_name
      when 'UpdateTrail' then
          json_get_bool(request_parameters, 'isMultiRegionTrail') = false
          or json_get_bool(request_parameters, 'includeGlobalServiceEvents') = false
          or json_get_bool(request_parameters, 'enableLogFileValidation') = false
      -- One selector per line, white space gone, selectors that leave management events out dropped: is any left?
      when 'PutEventSelectors' then
          btrim(
              regexp_replace(
                  array_to_string(
                      json_get_array(regexp_replace(request_parameters, '\s+', '', 'g'), 'eventSelectors'), chr(10)
                  ),
                  '(?m)^.*("readWriteType":"(ReadOnly|WriteOnly)"|"includeManagementEvents":false).*$', '', 'g'
              ),
              chr(10)
          ) = ''
          or not regexp_like(
              regexp_replace(
                  array_to_string(
                      json_get_array(regexp_replace(request_parameters, '\s+', '', 'g'), 'advancedEventSelectors'),
                      chr(10)
                  ),
                  '(?m)^.*"field":"readOnly".*$', '', 'g'
              ),
              '"equals":\[[^\]]*"Management"'
          )
      else true
  end
