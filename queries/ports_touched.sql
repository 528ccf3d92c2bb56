/*
name: ports-touched
title: Ports an address tried
description: >
  For each port the address sent to: how many hosts, how many flows were let through and how many turned away.
parameters:
  - {name: address, type: text, doc: "the source, an IPv4 or IPv6 address"}
  - {name: since, type: timestamp, default: "1970-01-01", doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: "9999-12-31", doc: "before this time, UTC"}
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
  and start_time >= $since
  and start_time < $until
group by dstport, protocol
order by accepted desc, rejected desc, dstport
