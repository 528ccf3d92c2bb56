/*
id: aws-security-service-disabled
title: A security service was switched off
description: >
  GuardDuty, Config, Security Hub, Macie, Inspector, Access Analyzer, VPC flow logs or DNS query logs were switched off,
  deleted, or cut from the account that watches them. Refused attempts count too, since nobody tries this by accident;
  other failures do not.
severity: high
mitre:
  tactics: [TA0005]
  techniques: [T1562.001, T1562.008]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} called {event_name} of {event_source} in {aws_region} from {source_ip_address} ({result})"
false_positives:
  - Infrastructure as code that tears down a test account.
  - Moving to a central configuration, such as a delegated administrator.
next_steps: >
  Switch it on again first. Then see what this principal did before and after with
  `trailhound query principal-timeline -p principal=<actor_arn>`.
references:
  - https://attack.mitre.org/techniques/T1562/001/
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.defense-evasion.vpc-remove-flow-logs/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_source,
    event_name,
    aws_region,
    coalesce(error_code, 'succeeded') as result,
    source_ip_address,
    user_agent,
    request_parameters
from cloudtrail
where event_source in (
      'guardduty.amazonaws.com', 'config.amazonaws.com', 'securityhub.amazonaws.com', 'ec2.amazonaws.com',
      'route53resolver.amazonaws.com', 'macie2.amazonaws.com', 'inspector2.amazonaws.com',
      'access-analyzer.amazonaws.com'
  )
  and case event_source
      when 'guardduty.amazonaws.com' then
          event_name in (
              'DeleteDetector', 'StopMonitoringMembers', 'DisassociateMembers', 'DeleteMembers',
              'DisassociateFromMasterAccount', 'DisassociateFromAdministratorAccount',
              'DisableOrganizationAdminAccount', 'DeletePublishingDestination'
          )
          or (event_name = 'UpdateDetector' and json_get_bool(request_parameters, 'enable') = false)
      when 'config.amazonaws.com' then
          event_name in ('StopConfigurationRecorder', 'DeleteConfigurationRecorder', 'DeleteDeliveryChannel')
      when 'securityhub.amazonaws.com' then
          event_name in (
              'DisableSecurityHub', 'BatchDisableStandards', 'DisassociateMembers', 'DeleteMembers',
              'DisassociateFromMasterAccount', 'DisassociateFromAdministratorAccount',
              'DisableOrganizationAdminAccount'
          )
      when 'ec2.amazonaws.com' then event_name = 'DeleteFlowLogs'
      when 'route53resolver.amazonaws.com' then
          event_name in ('DeleteResolverQueryLogConfig', 'DisassociateResolverQueryLogConfig')
      when 'macie2.amazonaws.com' then event_name in ('DisableMacie', 'DisableOrganizationAdminAccount')
      when 'inspector2.amazonaws.com' then event_name in ('Disable', 'DisableDelegatedAdminAccount')
      when 'access-analyzer.amazonaws.com' then event_name = 'DeleteAnalyzer'
      else false
  end
  and coalesce(identity_type, '') <> 'AWSService'
  and (error_code is null or strpos(error_code, 'AccessDenied') > 0 or strpos(error_code, 'Unauthorized') > 0)
