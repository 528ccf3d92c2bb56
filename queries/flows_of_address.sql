/*
name: flows-of-address
title: Flows of an address
description: >
  Every flow from or to the address in order of time. Behind NAT the packet's own addresses are looked at too,
  where the flow log has them.
parameters:
  - {name: address, type: text, doc: "an IPv4 or IPv6 address"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 1000, doc: "at most so many rows"}
example: trailhound query flows-of-address -p address=10.0.0.5
*/
select
    start_time,
    end_time,
    action,
    srcaddr,
    srcport,
    dstaddr,
    dstport,
    protocol,
    packets,
    bytes,
    account_id,
    interface_id,
    instance_id
from vpc_flow
where (srcaddr = $address or dstaddr = $address or pkt_srcaddr = $address or pkt_dstaddr = $address)
  and ($since is null or start_time >= $since)
  and ($until is null or start_time < $until)
order by start_time, interface_id
limit $limit
