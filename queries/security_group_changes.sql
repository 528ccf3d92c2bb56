/*
name: security-group-changes
title: Changes of security groups and network ACLs
description: >
  Who opened or closed what, newest first, with the whole request.
parameters:
  - {name: group, type: text, default: "%", doc: "a security group id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 500, doc: "at most so many rows"}
example: trailhound query security-group-changes -p group=sg-0123456789abcdef0
*/
select
    event_time,
    recipient_account_id,
    aws_region,
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'groupId'),
        json_get_str(request_parameters, 'ModifySecurityGroupRulesRequest', 'GroupId'),
        json_get_str(response_elements, 'groupId'),
        json_get_str(request_parameters, 'groupName'),
        json_get_str(request_parameters, 'networkAclId')
    ) as security_group,
    error_code,
    source_ip_address,
    request_parameters,
    event_id
from cloudtrail
where event_source = 'ec2.amazonaws.com'
  and event_name in (
      'AuthorizeSecurityGroupIngress', 'AuthorizeSecurityGroupEgress', 'RevokeSecurityGroupIngress',
      'RevokeSecurityGroupEgress', 'ModifySecurityGroupRules', 'CreateSecurityGroup', 'DeleteSecurityGroup',
      'CreateNetworkAclEntry', 'ReplaceNetworkAclEntry', 'DeleteNetworkAclEntry'
  )
  and ($group = '%' or strpos(request_parameters, $group) > 0 or strpos(response_elements, $group) > 0)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
order by event_time desc, event_id
limit $limit
