/*
id: aws-iam-administrator-granted
title: Administrator rights were granted
description: >
  A user, role or group got `AdministratorAccess` or `IAMFullAccess`, or a policy was written that allows every action
  on every resource. Policies are read statement by statement: a `Deny` of everything and a wildcard on one bucket are
  left out. Only calls that succeeded count.
severity: high
mitre:
  tactics: [TA0003, TA0004]
  techniques: [T1098.003, T1484]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, target]
summary: "{actor_arn} gave administrator rights by {event_name}: {policy} on {target}"
false_positives:
  - Setting up an account or a break-glass role.
  - Infrastructure as code that creates its own deployment role.
next_steps: >
  Ask the principal's owner. If nobody knows: detach the policy, then see what the target did since with
  `trailhound query principal -p principal=<target>` and what else the principal changed with
  `trailhound query iam-changes -p principal=<actor_arn>`.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.persistence.iam-create-admin-user/
  - https://attack.mitre.org/techniques/T1098/003/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'userName'),
        json_get_str(request_parameters, 'roleName'),
        json_get_str(request_parameters, 'groupName'),
        json_get_str(request_parameters, 'policyArn'),
        json_get_str(request_parameters, 'policyName'),
        'unknown'
    ) as target,
    coalesce(
        json_get_str(request_parameters, 'policyArn'),
        json_get_str(request_parameters, 'policyName'),
        'unknown'
    ) as policy,
    source_ip_address,
    user_agent,
    request_parameters
from cloudtrail
where event_source = 'iam.amazonaws.com'
  and event_name in (
      'AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy', 'PutUserPolicy', 'PutRolePolicy', 'PutGroupPolicy',
      'CreatePolicy', 'CreatePolicyVersion'
  )
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  and (
      regexp_like(json_get_str(request_parameters, 'policyArn'), ':iam::aws:policy/(AdministratorAccess|IAMFullAccess)$')
      -- One statement per line, white space gone, denials dropped: then every action and every resource on one line.
      or regexp_like(
          regexp_replace(
              coalesce(
                  array_to_string(
                      json_get_array(
                          regexp_replace(json_get_str(request_parameters, 'policyDocument'), '\s+', '', 'g'),
                          'Statement'
                      ),
                      chr(10)
                  ),
                  json_get_json(
                      regexp_replace(json_get_str(request_parameters, 'policyDocument'), '\s+', '', 'g'),
                      'Statement'
                  )
              ),
              '(?im)^.*"effect":"deny".*$', '', 'g'
          ),
          '(?im)"(action":(\[[^\]]*)?"(\*|\\u002a)(:\*)?"|notaction":).*"(resource":(\[[^\]]*)?"(\*|\\u002a)"|notresource":)|"(resource":(\[[^\]]*)?"(\*|\\u002a)"|notresource":).*"(action":(\[[^\]]*)?"(\*|\\u002a)(:\*)?"|notaction":)'
      )
      -- A document that is still URL-encoded is judged as text.
      or regexp_like(
          json_get_str(request_parameters, 'policyDocument'),
          '(?i)^\s*(%20|%0A|%0D|%09|\+)*%7B.*%22action%22(%20|%0A|%0D|%09|\+)*(%3A|:)(%20|%0A|%0D|%09|\+|%5B|\[)*%22(%2A|\*)%22'
      )
  )
