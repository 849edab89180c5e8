# Addresses, and the connections of a run that mean something.
package pip_witness.lib.connections

import data.pip_witness.indicators.network
import data.pip_witness.lib.process
import data.pip_witness.lib.text

import rego.v1

# normal(address) is an IP address without zone; IPv4 inside IPv6 is IPv4. What is
# no text is undefined.
normal(address) := trim_prefix(lower(split(address, "%")[0]), "::ffff:") if is_string(address)

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
		"hostname": word(c, "hostname"),
		"syscall": c.syscall,
		"weak": _weak(c, address),
		"role": process.role(proc),
		"process": process.describe(proc),
		"gateway": gateway(address, port),
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
	word(flow, "hostname") != ""
}

_allowed(proc, address, port) if _passed_on(proc, address, port)

_allowed(proc, address, port) := false if not _passed_on(proc, address, port)

_passed_on(proc, address, port) if {
	some flow in proc.network.flows
	relayed(proc, flow)
	normal(flow.address) == address
	flow.port == port
}

# word(thing, key) is the text at key, empty where there is none.
word(thing, key) := thing[key] if is_string(thing[key])

word(thing, key) := "" if not _has_word(thing, key)

# A call with a missing field is undefined also behind not.
_has_word(thing, key) if is_string(thing[key])

# peer(contact) names a peer in a message, in the form of exceptions: HOST:PORT.
peer(contact) := _place(contact.address, contact.port) if contact.hostname == ""

peer(contact) := sprintf("%s:%v (%s)", [
	_host(contact.hostname),
	contact.port,
	_host(contact.address),
]) if {
	contact.hostname != ""
}

_place(address, port) := sprintf("%s:%v", [_host(address), port]) if not contains(address, ":")

_place(address, port) := sprintf("[%s]:%v", [_host(address), port]) if contains(address, ":")

# Whatever is no name and no address is quoted.
_host(name) := name if regex.match(`^[0-9A-Za-z._:-]{1,253}$`, name)

_host(name) := sprintf("\"%s\"", [text.safe(name)]) if not regex.match(`^[0-9A-Za-z._:-]{1,253}$`, name)

# gateway(address, port) says whether that is the sandbox's own index.
gateway(address, port) if sprintf("%s:%d", [address, port]) == input.coverage.sandbox.gateway

gateway(address, port) := false if {
	not sprintf("%s:%d", [address, port]) == input.coverage.sandbox.gateway
}

# importing is true for the evidence of an import, where the first process runs the
# package in itself.
importing if input.processes[0].role == "import-harness"

# sinkhole is true where everything that is sent to other machines is received
# and recorded.
sinkhole if {
	is_string(input.coverage.sandbox.resolver)
	input.coverage.sandbox.resolver != ""
}

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

# Questions to a name server are told from other datagrams.
_sent(proc, address, port) if {
	some lookup in proc.network.dnsLookups
	lookup.serverPort == port
	word(lookup, "query") != ""
	normal(lookup.serverAddress) == address
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

# orders are questions of package code for records that hold free text. The C
# library asks for addresses and services only.
orders contains question if {
	some proc in input.processes
	process.role(proc) != "installer"
	some lookup in proc.network.dnsLookups
	lookup.type in network.record_types.free_text
	question := {"name": lookup.query, "type": lookup.type, "process": process.describe(proc)}
}

# index_hosts are the hosts of the indexes of this run: those that the installer
# knows, and those from which the installed files came. An index on this machine is
# none: its name stands for much else.
index_hosts contains host if {
	some host in _index_hosts
	scope(host) != "loopback"
	host != "localhost"
}

_index_hosts contains lower(host) if {
	some host in input.coverage.sandbox.indexHosts
	is_string(host)
}

_index_hosts contains found[1] if {
	some dist in _installed
	some file in dist.files
	word(file, "index") != "" # the host of a direct URL is no index
	some key in ["url", "index"]
	is_string(file[key])
	some found in regex.find_all_string_submatch_n(`^[a-z]+://(?:[^/@]*@)?([^/:@]+)`, lower(file[key]), 1)
}

_installed contains dist if some dist in input["pip-install"].packages

_installed contains dist if {
	some step in input.steps
	some dist in step["pip-install"].packages
}

# tunnels are the domains below which name queries carry encoded data, with the
# number of queries: three with a long encoded label, or ten different names.
tunnels[domain] := count(names) if {
	some domain, names in _queries
	_tunnel(names)
}

# Names below each domain; merged in one call, since a package chooses how many.
_queries := object.union_n([{_domain(name): {name: true}} | some name in _query_names])

_query_names contains trim_suffix(lower(lookup.query), ".") if {
	some proc in input.processes
	process.role(proc) != "installer"
	some lookup in proc.network.dnsLookups
	is_string(lookup.query)
}

# The last two labels stand for the registrable domain: a list of public
# suffixes would only merge less.
_domain(name) := concat(".", array.slice(labels, count(labels) - 2, count(labels))) if {
	labels := split(name, ".")
	count(labels) >= 2
}

_domain(name) := name if not contains(name, ".")

_tunnel(names) if count([name | some name, _ in names; _encoded(name)]) >= 3

# Nothing that is installed or imported has a use for ten hosts of one domain;
# addresses are looked up backwards below arpa.
_tunnel(names) if count([name | some name, _ in names; not endswith(name, ".arpa")]) >= 10

_encoded(name) if regex.match(`(^|\.)[^.]{40,}\.`, name)

_encoded(name) if regex.match(`(^|\.)([0-9a-f]{30,}|[a-z2-7]{30,})\.`, name)
