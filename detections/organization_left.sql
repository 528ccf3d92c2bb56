/*
id: aws-organization-left
title: An account left its organization, or the organization was dissolved
description: >
  An account tried to leave its organization, was removed from it, or the organization was deleted. Outside it the
  service control policies, the organization trail and the central security services no longer hold. Attempts that
  failed count too, since nobody tries this by accident.
severity: high
mitre:
  tactics: [TA0005]
  techniques: [T1562.008, T1666]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} called {event_name} in account {recipient_account_id} from {source_ip_address} ({result})"
false_positives:
  - An account that is sold or moved to another organization.
next_steps: >
  Ask whoever runs the organization. See what the principal did besides with
  `trailhound query principal-timeline -p principal=<actor_arn>`. Forbid `organizations:LeaveOrganization` by a service
  control policy.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.defense-evasion.organizations-leave/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(error_code, 'succeeded') as result,
    source_ip_address,
    user_agent,
    request_parameters
from cloudtrail
where event_source = 'organizations.amazonaws.com'
  and event_name in ('LeaveOrganization', 'RemoveAccountFromOrganization', 'DeleteOrganization')
  and coalesce(identity_type, '') <> 'AWSService'
