/*
id: vpc-admin-port-from-internet
title: SSH or RDP from the internet was let in
description: >
  A TCP flow from a public address to port 22 or 3389 of an address inside was accepted. The door is open; whether
  somebody passed it the bytes of the flow hint at: a few packets are a scan. One alert a day for each address and port
  inside, however many come.
severity: medium
mitre:
  tactics: [TA0001]
  techniques: [T1133, T1190]
data_source: vpc_flow
entity: [account_id, interface_id, dstaddr, dstport]
summary: "{srcaddr} reached port {dstport} of {dstaddr} ({interface_id}) from the internet, {bytes} bytes"
false_positives:
  - A bastion host that is meant to be reachable.
next_steps: >
  Close the security group. See who came with `trailhound query flows-of-address -p address=<dstaddr>`, and who opened
  the group with `trailhound query security-group-changes`.
references:
  - https://attack.mitre.org/techniques/T1133/
*/
select
    start_time,
    end_time,
    account_id,
    interface_id,
    instance_id,
    srcaddr,
    dstaddr,
    dstport,
    bytes,
    packets,
    action
from vpc_flow
where action = 'ACCEPT'
  and protocol = 6
  and dstport in (22, 3389)
  and not regexp_like(
      srcaddr,
      '(?i)^(0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|22[4-9]\.|2[3-5][0-9]\.|f[cdf]|fe[89ab]|::1?$)'
  )
  -- IPv4 behind an interface is private; IPv6 is not, so there the direction must be known.
  and (
      regexp_like(dstaddr, '^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.)')
      or (strpos(dstaddr, ':') > 0 and flow_direction = 'ingress')
  )
