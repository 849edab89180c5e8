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
# that getaddrinfo connects, without sending, to sort addresses. weak is true for a
# datagram socket connected to an address that programs use to learn their own.
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
	}
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

# resolvers are addresses of name servers: those that the sandbox states, and
# those that the installer itself asked.
resolvers := {normal(a) | some a in input.coverage.sandbox.resolvers} | {normal(c.address) |
	some proc in input.processes
	process.role(proc) == "installer"
	some c in proc.network.connections
	object.get(c, "port", 0) == 53
}

_resolver(address, 53) if address in resolvers

_resolver(address, 53) if scope(address) in {"loopback", "private", "link-local"}

_datagram(c) if {
	c.syscall == "connect"
	object.get(c, "type", "") == "SOCK_DGRAM"
}

_sorting(_, c, 0) if _datagram(c)

_sorting(_, c, _) if {
	_datagram(c)
	scope(normal(c.address)) == "loopback"
}

# A process that asked a name server has called getaddrinfo.
_sorting(proc, c, _) if {
	_datagram(c)
	some question in proc.network.connections
	object.get(question, "port", 0) == 53
	_resolver(normal(question.address), 53)
}

_weak(c, address) if _probe(c, address)

_weak(c, address) := false if not _probe(c, address)

_probe(c, address) if {
	_datagram(c)
	address in network.local_address_probes.addresses
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
