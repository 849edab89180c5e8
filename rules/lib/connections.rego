# Addresses, and the connections of a run that mean something.
package pip_witness.lib.connections

import data.pip_witness.indicators.network
import data.pip_witness.lib.process
import data.pip_witness.lib.text

import rego.v1

# normal(address) is an IP address without zone; IPv4 inside IPv6 is IPv4.
normal(address) := trim_prefix(lower(split(address, "%")[0]), "::ffff:")

# scope(address) is loopback, private, link-local, multicast or public, for an
# address as normal gives it. What is no IP address counts as public.
scope(address) := found[0] if {
	found := [name |
		some name in ["loopback", "link-local", "private", "multicast"]
		some range in network.ranges[name]
		_within(range, address)
	]
	count(found) > 0
}

scope(address) := "public" if {
	every name in ["loopback", "link-local", "private", "multicast"] {
		every range in network.ranges[name] {
			not _within(range, address)
		}
	}
}

_within(range, address) if {
	not contains(range, ":")
	net.cidr_is_valid(concat("", [address, "/32"]))
	not contains(address, ":")
	net.cidr_contains(range, address)
}

_within(range, address) if {
	contains(range, ":")
	contains(address, ":")
	net.cidr_is_valid(concat("", [address, "/128"]))
	net.cidr_contains(range, address)
}

# internet(connection) is true for IPv4 and IPv6.
internet(connection) if connection.family in {"AF_INET", "AF_INET6"}

# outgoing(connection) is true for calls that name a peer.
outgoing(connection) if connection.syscall in {"connect", "sendto", "sendmsg", "sendmmsg"}

# contacts are the peers that each process named, without what the C library
# does on its own: questions to the system's resolver, and the datagram sockets
# that getaddrinfo connects, without sending, to sort addresses. Where the
# sinkhole would have received what was sent, a socket that sent nothing is none.
# weak is true for a datagram socket connected, nobody knows whether used, to an
# address that programs connect to only to learn their own.
contacts contains contact if {
	some proc in input.processes
	some c in proc.network.connections
	internet(c)
	outgoing(c)
	address := normal(c.address)
	port := object.get(c, "port", 0)
	not _resolver(address, port)
	not _sorting(proc, c, port)
	contact := {
		"address": address,
		"port": port,
		"scope": scope(address),
		"hostname": object.get(c, "hostname", ""),
		"syscall": c.syscall,
		"weak": _weak(c, address),
		"role": process.role(proc),
		"process": process.describe(proc),
		"gateway": _gateway(address, port),
		"allowed": _allowed(proc, address, port),
	}
}

# relayed(proc, flow) is true for what a process of the installer exchanged with a
# host that the user allows. The sandbox relays nothing for another process; one
# that was the installer's and became something else since is not trusted either.
relayed(proc, flow) if {
	process.role(proc) == "installer"
	flow.relayed == true
}

# allowed_hosts are names of hosts that the user allows and the installer reached.
allowed_hosts contains lower(flow.hostname) if {
	some proc in input.processes
	some flow in proc.network.flows
	relayed(proc, flow)
	object.get(flow, "hostname", "") != ""
}

_allowed(proc, address, port) if _passed_on(proc, address, port)

_allowed(proc, address, port) := false if not _passed_on(proc, address, port)

_passed_on(proc, address, port) if {
	some flow in proc.network.flows
	relayed(proc, flow)
	normal(flow.address) == address
	flow.port == port
}

# peer(contact) names a peer in a message.
peer(contact) := sprintf("%s port %v", [text.safe(contact.address), contact.port]) if contact.hostname == ""

peer(contact) := sprintf(
	"%s (%s) port %v",
	[text.safe(contact.hostname), text.safe(contact.address), contact.port],
) if {
	contact.hostname != ""
}

_gateway(address, port) if sprintf("%s:%d", [address, port]) == input.coverage.sandbox.gateway

_gateway(address, port) := false if {
	not sprintf("%s:%d", [address, port]) == input.coverage.sandbox.gateway
}

# sinkhole is true where everything that is sent to other machines is received
# and recorded.
sinkhole if input.coverage.sandbox.resolver != ""

# resolvers are addresses of name servers: the sandbox's own, or those that the
# installer itself asked.
resolvers contains normal(input.coverage.sandbox.resolver) if sinkhole

resolvers contains normal(c.address) if {
	some proc in input.processes
	process.role(proc) == "installer"
	some c in proc.network.connections
	object.get(c, "port", 0) == 53
}

_resolver(address, 53) if address in resolvers

_resolver(address, 53) if {
	not sinkhole
	scope(address) in {"loopback", "private", "link-local"}
}

_datagram(c) if {
	c.syscall == "connect"
	object.get(c, "type", "") == "SOCK_DGRAM"
}

_sorting(_, c, 0) if _datagram(c)

_sorting(_, c, _) if {
	_datagram(c)
	scope(normal(c.address)) == "loopback"
}

_sorting(proc, c, port) if {
	_datagram(c)
	sinkhole
	not _sent(proc, normal(c.address), port)
}

# A process that asked a name server has called getaddrinfo.
_sorting(proc, c, _) if {
	_datagram(c)
	not sinkhole
	some question in proc.network.connections
	object.get(question, "port", 0) == 53
	_resolver(normal(question.address), 53)
}

_sent(proc, address, port) if {
	some flow in proc.network.flows
	flow.protocol == "udp"
	normal(flow.address) == address
	flow.port == port
}

_weak(c, address) if _probe(c, address)

_weak(c, address) := false if not _probe(c, address)

_probe(c, address) if {
	_datagram(c)
	address in network.local_address_probes.addresses
}

# leaks are decoys whose value left a process: in what it sent to another
# machine, or in a name that it asked for.
leaks contains leak if {
	some proc in input.processes
	some flow in proc.network.flows
	some decoy in flow.canaries
	leak := {
		"decoy": text.safe(decoy),
		"to": sprintf("%s port %v", [text.safe(flow.address), flow.port]),
		"process": process.describe(proc),
	}
}

leaks contains leak if {
	some proc in input.processes
	some lookup in proc.network.dnsLookups
	some decoy in lookup.canaries
	leak := {
		"decoy": text.safe(decoy),
		"to": sprintf("the name service, in \"%s\"", [text.safe(lookup.query)]),
		"process": process.describe(proc),
	}
}

# listeners are sockets that wait for others: listen, and bind to a port that
# the program chose. A bind to port 0 asks for any free one and is how libraries
# test for IPv6.
listeners contains listener if {
	some proc in input.processes
	some c in proc.network.connections
	internet(c)
	c.syscall in {"listen", "bind"}
	address := normal(c.address)
	port := object.get(c, "port", 0)
	_waits(c.syscall, port)
	listener := {
		"address": address,
		"port": port,
		"scope": scope(address),
		"role": process.role(proc),
		"process": process.describe(proc),
	}
}

_waits("listen", _)

_waits("bind", port) if port != 0

# tunnels are the domains below which name queries carry encoded data, with the
# number of queries: three with a long encoded label, or ten that differ in one.
tunnels[domain] := count(names) if {
	some domain, names in _queries
	_tunnel(names)
}

# Names below each domain; merged in one call, since a package chooses how many.
_queries := object.union_n([{_domain(name): {name: true}} | some name in _query_names])

_query_names contains trim_suffix(lower(lookup.query), ".") if {
	some proc in input.processes
	some lookup in proc.network.dnsLookups
}

# The last two labels stand for the registrable domain: a list of public
# suffixes would only merge less.
_domain(name) := concat(".", array.slice(labels, count(labels) - 2, count(labels))) if {
	labels := split(name, ".")
	count(labels) >= 2
}

_domain(name) := name if not contains(name, ".")

_tunnel(names) if count([name | some name, _ in names; _encoded(name)]) >= 3

_tunnel(names) if {
	count(names) >= 10
	count([name | some name, _ in names; regex.match(`[0-9a-z]{16,}`, name)]) >= 10
}

_encoded(name) if regex.match(`(^|\.)[^.]{40,}\.`, name)

_encoded(name) if regex.match(`(^|\.)([0-9a-f]{30,}|[a-z2-7]{30,})\.`, name)
