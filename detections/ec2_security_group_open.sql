/*
id: aws-ec2-security-group-open
title: A security group was opened to the internet on an administration or database port
description: >
  Inbound traffic from everywhere (a `/0` range) was allowed to SSH (22), RDP (3389), MySQL (3306) or PostgreSQL (5432):
  by that port, by a range that holds it, or by all traffic. One call may hold many rules, each of which is looked at.
  Only calls that succeeded count.
severity: high
mitre:
  tactics: [TA0005, TA0001]
  techniques: [T1562.007, T1133]
data_source: cloudtrail
kind: aggregate
window: 1d
entity: [recipient_account_id, actor_arn, security_group]
summary: "{actor_arn} opened security group {security_group} to the internet, protocol {protocol} ports {from_port} to {to_port}"
false_positives:
  - A bastion host that is meant to be reachable.
next_steps: >
  Take the rule back. See who came in through it with `trailhound query internet-accepted`, and what else the principal
  did with `trailhound query principal-timeline -p principal=<actor_arn>`.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.exfiltration.ec2-security-group-open-port-22-ingress/
*/
with permission as (
    -- One row per rule of a call: from the list, or the call's own parameters where it holds no list.
    select
        event_id,
        event_time,
        event_name,
        recipient_account_id,
        actor_arn,
        source_ip_address,
        coalesce(
            json_get_str(request_parameters, 'groupId'),
            json_get_str(request_parameters, 'groupName'),
            json_get_str(request_parameters, 'ModifySecurityGroupRulesRequest', 'GroupId'),
            'unknown'
        ) as security_group,
        unnest(
            coalesce(
                json_get_array(request_parameters, 'ipPermissions', 'items'),
                json_get_array(request_parameters, 'ModifySecurityGroupRulesRequest', 'SecurityGroupRule'),
                make_array(
                    coalesce(
                        json_get_json(request_parameters, 'ModifySecurityGroupRulesRequest', 'SecurityGroupRule'),
                        request_parameters
                    )
                )
            )
        ) as rule
    from cloudtrail
    where event_source = 'ec2.amazonaws.com'
      and event_name in ('AuthorizeSecurityGroupIngress', 'ModifySecurityGroupRules')
      and error_code is null
      and coalesce(identity_type, '') <> 'AWSService'
),
opened as (
    select
        *,
        coalesce(json_as_text(rule, 'ipProtocol'), json_as_text(rule, 'SecurityGroupRule', 'IpProtocol')) as protocol,
        coalesce(json_get_int(rule, 'fromPort'), json_get_int(rule, 'SecurityGroupRule', 'FromPort')) as from_port,
        coalesce(json_get_int(rule, 'toPort'), json_get_int(rule, 'SecurityGroupRule', 'ToPort')) as to_port
    from permission
    where regexp_like(rule, '(?i)"cidrIp(v4|v6)?"\s*:\s*"[0-9a-f.:]+\\?/0"')
)
select
    recipient_account_id,
    actor_arn,
    security_group,
    date_bin(interval '1 day', event_time) as window_start,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(distinct event_id) as event_count,
    array_agg(distinct event_id) as event_ids,
    string_agg(distinct case when protocol = '-1' then 'all' else protocol end, ', ') as protocol,
    coalesce(min(case when protocol <> '-1' then from_port end), 0) as from_port,
    coalesce(max(case when protocol <> '-1' then to_port end), 65535) as to_port,
    min(source_ip_address) as source_ip_address
from opened
where protocol = '-1'
   or (
       protocol in ('tcp', '6')
       and (
           (from_port <= 22 and to_port >= 22)
           or (from_port <= 3306 and to_port >= 3306)
           or (from_port <= 3389 and to_port >= 3389)
           or (from_port <= 5432 and to_port >= 5432)
       )
   )
group by recipient_account_id, actor_arn, security_group, date_bin(interval '1 day', event_time)
