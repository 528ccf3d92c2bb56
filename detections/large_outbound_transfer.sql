/*
id: vpc-large-outbound-transfer
title: A large amount of data left for one public address
description: >
  More than 1 GiB went from a private address to one public address within an hour, counted at one network interface.
  Transfers to AWS services are left out where the flow log says so (field `pkt-dst-aws-service`).
severity: medium
mitre:
  tactics: [TA0010]
  techniques: [T1048, T1041]
data_source: vpc_flow
kind: aggregate
window: 1h
entity: [account_id, interface_id, srcaddr, dstaddr]
summary: "{srcaddr} ({interface_id}) sent {mebibytes} MiB to {dstaddr} within an hour"
false_positives:
  - Backups, mirrors and media served to one large client.
  - A NAT gateway, whose own interface also sees the traffic it carries.
next_steps: >
  See what else the pair exchanged with `trailhound query flows-of-address -p address=<dstaddr>`, and whose address it
  is. Find the instance with `trailhound query resource -p resource=<interface_id>`, then see what its role did with
  `trailhound query principal-timeline -p principal=<role>`.
references:
  - https://attack.mitre.org/techniques/T1048/
*/
select
    account_id,
    interface_id,
    srcaddr,
    dstaddr,
    date_bin(interval '1 hour', start_time) as window_start,
    min(start_time) as first_time,
    max(start_time) as last_time,
    count(*) as event_count,
    sum(bytes) as bytes,
    sum(bytes) / 1048576 as mebibytes,
    sum(packets) as packets
from vpc_flow
where action = 'ACCEPT'
  and start_time is not null
  and pkt_dst_aws_service is null
  and coalesce(flow_direction, 'egress') = 'egress'
  and regexp_like(srcaddr, '(?i)^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|f[cd])')
  and not regexp_like(
      dstaddr,
      '(?i)^(0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|22[4-9]\.|2[3-5][0-9]\.|f[cdf]|fe[89ab]|::1?$)'
  )
group by account_id, interface_id, srcaddr, dstaddr, date_bin(interval '1 hour', start_time)
having sum(bytes) > 1073741824
