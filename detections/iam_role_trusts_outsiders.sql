/*
id: aws-iam-role-trusts-outsiders
title: Role opened to another account or to everybody
description: >
  A role was created or changed so that a principal of another account, or anybody, may assume it: the classic back
  door. Statements limited to the organization by `aws:PrincipalOrgID` are left out, and so are services and identity
  providers. A statement with an external id still counts: it is how vendors get in, and intruders too.
severity: high
mitre:
  tactics: [TA0003, TA0004]
  techniques: [T1098, T1484.002]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, role_name]
summary: "{actor_arn} let outsiders assume role {role_name} ({event_name}) from {source_ip_address}"
false_positives:
  - A vendor's integration.
  - Other accounts of the same company, trusted by account id.
next_steps: >
  Look at the trusted account in `request_parameters`. See who assumed the role since with
  `trailhound query role-assumptions -p role=<role_name>`. If nobody knows the account, restore the trust policy and
  revoke the role's sessions.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.persistence.iam-backdoor-role/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(json_get_str(request_parameters, 'roleName'), 'unknown') as role_name,
    source_ip_address,
    user_agent,
    request_parameters
from cloudtrail
where event_source = 'iam.amazonaws.com'
  and event_name in ('CreateRole', 'UpdateAssumeRolePolicy')
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  -- One statement per line; denials and statements for the organization dropped; the account's own id made `own`.
  -- What is left and still names an account, or everybody, is an outsider.
  and regexp_like(
      replace(
          regexp_replace(
              coalesce(
                  array_to_string(
                      json_get_array(
                          regexp_replace(
                              coalesce(
                                  json_get_str(request_parameters, 'policyDocument'),
                                  json_get_str(request_parameters, 'assumeRolePolicyDocument')
                              ),
                              '\s+', '', 'g'
                          ),
                          'Statement'
                      ),
                      chr(10)
                  ),
                  json_get_json(
                      regexp_replace(
                          coalesce(
                              json_get_str(request_parameters, 'policyDocument'),
                              json_get_str(request_parameters, 'assumeRolePolicyDocument')
                          ),
                          '\s+', '', 'g'
                      ),
                      'Statement'
                  )
              ),
              '(?im)^.*("effect":"deny"|"aws:principalorg(id|paths)":).*$', '', 'g'
          ),
          coalesce(recipient_account_id, 'none'),
          'own'
      ),
      '(?im)"principal":"(\*|\\u002a)"|"aws":(\[[^\]]*)?"(\*"|\\u002a"|[0-9]{12}"|arn:[a-z-]+:(iam|sts)::[0-9]{12}:)'
  )
