/*
name: ports-touched
title: Ports an address tried
description: >
  For each port the address sent to: how many hosts, how many flows were let through and how many turned away.
parameters:
  - {name: address, type: text, doc: "the source, an IPv4 or IPv6 address"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query ports-touched -p address=198.51.100.7
*/
select
    dstport,
    protocol,
    count(distinct dstaddr) as hosts,
    count(*) filter (where action = 'ACCEPT') as accepted,
    count(*) filter (where action = 'REJECT') as rejected,
    sum(bytes) as bytes,
    min(start_time) as first_time,
    max(start_time) as last_time
from vpc_flow
where srcaddr = $address
  and ($since is null or start_time >= $since)
  and ($until is null or start_time < $until)
group by dstport, protocol
order by accepted desc, rejected desc, dstport
