# METADATA
# title: Network use during an installation
# description: >-
#   Only the installer has a reason to use the network, and only towards the
#   index. Everything else that package code contacts is judged here.
# related_resources:
#   - ref: https://attack.mitre.org/tactics/TA0010/
package pip_witness.network_exfiltration # regal ignore:file-length

import data.pip_witness.indicators.network
import data.pip_witness.lib.connections
import data.pip_witness.lib.coverage
import data.pip_witness.lib.process
import data.pip_witness.lib.programs
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: Cloud metadata service contacted
# description: A process asked the address at which a cloud hands out the machine's credentials.
# custom:
#   id: NET_IMDS_ACCESS
#   severity: CRITICAL
#   attack: T1552.005
#   incidents: [litellm 1.82.7, litellm 1.82.8, durabletask, xinference]
#   false_positives: A keyring provider of a cloud's private index.
#   solution: Do not install it; rotate the machine's role credentials if it ran outside a sandbox.
#   needs: connections of connect, sendto, sendmsg and sendmmsg
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_IMDS_ACCESS: %s contacted %s, where a cloud hands out this machine's credentials",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		not contact.allowed
		_metadata_service(contact)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_IMDS_ACCESS: %s used \"%s\", where a cloud hands out this machine's credentials",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		_metadata_name(named.host)
	})
}

# METADATA
# title: Exfiltration service contacted
# description: >-
#   A process contacted a host that serves to collect data from anonymous senders, or ran a program with
#   such an address.
# custom:
#   id: NET_EXFIL_SERVICE
#   severity: CRITICAL
#   attack: T1567
#   incidents: [ctx, aiocpa 0.1.13, dlmm-sdk]
#   false_positives: Ordinary web hosting that is also abused is MEDIUM.
#   solution: Do not install it; report the package to the index.
#   needs: host names of connections and of name queries, arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_EXFIL_SERVICE: %s contacted \"%s\", a service that collects data from anonymous senders",
		[service.severity, named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		some service in network.exfiltration_services
		some host in service.hosts
		_host_matches(named.host, host)
	})
}

# METADATA
# title: Connection to a bare address
# description: A process that is not the installer contacted a public address without having asked for a name.
# custom:
#   id: NET_RAW_IP
#   severity: CRITICAL
#   attack: T1095
#   incidents: [mistralai 2.4.6, telnyx, fabrice, tsshare]
#   false_positives: On ports 80 and 443 it is HIGH; looking up one's own address with a datagram socket is MEDIUM.
#   solution: Do not install it; look at what the process sends.
#   needs: connections, host names
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_RAW_IP: %s contacted %s without a name for it, as malware with a fixed server does",
		[_raw_severity(contact), contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		contact.scope == "public"
		contact.hostname == ""
		not _metadata_service(contact)
	})
}

# METADATA
# title: Connection to a port of remote control or mining
# description: >-
#   A process that is not the installer contacted a port that mail, shells, proxies, miners or chat
#   servers use.
# custom:
#   id: NET_SUSPICIOUS_PORT
#   severity: HIGH
#   attack: T1571
#   incidents: [SilentSync, Megalodon, ClawHavoc]
#   false_positives: A proxy of the user's own on such a port.
#   solution: Do not install it until the owner explains the connection.
#   needs: connections
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_SUSPICIOUS_PORT: %s contacted %s, a port of shells, proxies, mail or mining pools",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		_suspicious_port(contact)
	})
}

# METADATA
# title: A build used the network
# description: A build backend, or a program that it started, contacted another machine.
# custom:
#   id: NET_BUILD_CONNECT
#   severity: HIGH
#   attack: T1195.002
#   incidents: [fabrice, TrapDoor, dependency confusion beacons]
#   false_positives: Packages that download sources or toolchains in their build.
#   solution: Install a wheel instead, or waive this package by an exception with a reason.
#   needs: connections
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_BUILD_CONNECT: %s contacted %s during the build, which needs nothing but the sources",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		contact.role == "build-child"
		not contact.weak
		contact.scope != "loopback"
	})
}

# METADATA
# title: A host that the installation does not need
# description: >-
#   A process that is not the installer contacted or asked for a named host. At an import any contact is
#   IMPORT_NEW_CONNECTION.
# custom:
#   id: NET_UNEXPECTED_HOST
#   severity: HIGH
#   attack: T1071
#   incidents: [telnyx, lightning]
#   false_positives: Telemetry of a build tool.
#   solution: Find out why this host is needed; waive it by an exception for this host.
#   needs: host names of connections and of name queries
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_UNEXPECTED_HOST: %s used the host \"%s\"; only the installer needs hosts, and only those of the index",
		[named.process, text.safe(named.host)],
	) |
		not connections.importing
		some named in _named_hosts
		named.source != "argument"
		_package_controlled(named.role)
	})
}

# METADATA
# title: Data in name queries
# description: >-
#   Questions to the name service carry long encoded labels, or very many names below one domain. A single
#   question for records that carry free text, as only programs with their own resolver ask it, is HIGH.
# custom:
#   id: NET_DNS_TUNNEL
#   severity: CRITICAL
#   attack: T1048.003
#   incidents: [bittensor-wallet 4.0.2, torchtriton, node-ipc]
#   false_positives: none known with three or more such questions
#   solution: Do not install it; the labels hold what was taken.
#   needs: questions of name queries
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_DNS_TUNNEL: %d name queries below \"%s\" carry encoded data out through the resolver",
		[queries, text.safe(domain)],
	) |
		some domain, queries in connections.tunnels
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_DNS_TUNNEL: %s asked for the %s records of \"%s\", in which the answer can carry orders",
		[question.process, text.safe(question.type), text.safe(question.name)],
	) |
		some question in connections.orders
	})
}

# METADATA
# title: A name server of the package's own choice
# description: >-
#   A process that is not the installer asked a name server that is not the system's, or a public one
#   over HTTPS.
# custom:
#   id: NET_DNS_FOREIGN_RESOLVER
#   severity: HIGH
#   attack: T1071.004
#   incidents: [torchtriton]
#   false_positives: A datagram socket that is connected to learn the own address is MEDIUM.
#   solution: Do not install it; ask why the system's resolver is not good enough.
#   needs: connections
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_DNS_FOREIGN_RESOLVER: %s asked the name server %s instead of the system's, which hides what it looks up",
		[_weak_or(contact, "HIGH"), contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		_foreign_resolver(contact)
	})
}

# METADATA
# title: A program that sends files away
# description: Package code ran a transfer program with arguments that upload.
# custom:
#   id: NET_EXFIL_TOOL
#   severity: CRITICAL
#   attack: T1048
#   incidents: [litellm 1.82.8, xinference]
#   false_positives: none known during an installation
#   solution: Do not install it; treat every file named in the arguments as read by a stranger.
#   needs: arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_EXFIL_TOOL: %s \"%s\", which sends data away",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		_uploads(run)
	})
}

# METADATA
# title: A program that downloads
# description: Package code ran a download program; without checking certificates it is CRITICAL.
# custom:
#   id: NET_DOWNLOAD_TOOL
#   severity: HIGH
#   attack: T1105
#   incidents: [mistralai 2.4.6, SilentSync]
#   false_positives: Builds that fetch their sources with curl.
#   solution: Install a wheel instead, or waive this package by an exception with a reason.
#   needs: arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_DOWNLOAD_TOOL: %s \"%s\", which fetches what no index has recorded",
		[_download_severity(run), run.process, text.safe(run.line)],
	) |
		some run in _commands
		run.base in network.download_commands.programs
		not _uploads(run)
		not _prints_version(run)
	})
}

# METADATA
# title: A shell for somebody else
# description: >-
#   A socket was put in place of the standard streams, or a program was run with the arguments of a
#   remote shell.
# custom:
#   id: NET_REVERSE_SHELL
#   severity: CRITICAL
#   attack: T1059.004
#   incidents: [Unit 42 2026-07]
#   false_positives: none
#   solution: Do not install it; if it ran outside a sandbox, treat the machine as lost.
#   needs: connections with descriptors, dup2 and dup3, arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_REVERSE_SHELL: %s made a network socket its standard stream %v, which gives a shell to the other side",
		[process.describe(proc), descriptor],
	) |
		some proc in input.processes
		some descriptor in _bridged(proc)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_REVERSE_SHELL: %s has its parent's socket %v as input and output, which is a shell for the other side",
		[process.describe(proc), descriptor],
	) |
		some proc in input.processes
		_package_controlled(process.role(proc))
		some descriptor in _handed_down(proc)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_REVERSE_SHELL: %s \"%s\", which gives a shell to the other side",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		_remote_shell(run)
	})
}

# METADATA
# title: A server was started
# description: >-
#   A process that is not the installer waits for connections from other machines; on loopback it is
#   MEDIUM.
# custom:
#   id: NET_LISTENER
#   severity: HIGH
#   attack: T1571
#   incidents: [soopsocks]
#   false_positives: Compiler caches that listen on loopback.
#   solution: Do not install it; nothing that is installed serves anybody.
#   needs: bind and listen
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_LISTENER: %s waits for connections at %s port %v, which lets others in",
		[_listener_severity(listener), listener.process, text.safe(listener.address), listener.port],
	) |
		some listener in connections.listeners
		_package_controlled(listener.role)
	})
}

# METADATA
# title: A raw socket
# description: A process made a socket that bypasses the transport protocols.
# custom:
#   id: NET_RAW_SOCKET
#   severity: HIGH
#   attack: T1095
#   incidents: [technique only]
#   false_positives: Packet tools, when they run.
#   solution: Do not install it until the owner explains the socket.
#   needs: sockets of unusual kinds
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_RAW_SOCKET: %s made a raw %s socket, which goes around every port and firewall rule",
		[process.describe(proc), text.safe(socket.family)],
	) |
		some proc in input.processes
		some socket in proc.network.sockets
		_raw_socket(socket)
	})
}

# METADATA
# title: The Tor network
# description: A process contacted a local Tor proxy, a Tor relay port or an onion name.
# custom:
#   id: NET_TOR
#   severity: CRITICAL
#   attack: T1090.003
#   incidents: [qlnx]
#   false_positives: none
#   solution: Do not install it.
#   needs: connections, host names
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_TOR: %s contacted %s, an entry of the Tor network, which hides who receives the data",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		not contact.allowed
		_tor(contact)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_TOR: %s used the onion name \"%s\", which hides who receives the data",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		endswith(lower(named.host), ".onion")
	})
}

# METADATA
# title: A blockchain as a drop point
# description: A process contacted a gateway to a blockchain, where malware reads its orders.
# custom:
#   id: NET_BLOCKCHAIN_C2
#   severity: HIGH
#   attack: T1102.001
#   incidents: [CanisterWorm, ChainDrop, GlassWorm]
#   false_positives: none during an installation
#   solution: Do not install it unless the package is a client of this chain.
#   needs: host names
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_BLOCKCHAIN_C2: %s used \"%s\", a gateway to a blockchain from which malware reads its orders",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		some host in network.blockchains.hosts
		_host_matches(named.host, host)
	})
}

# METADATA
# title: The Kubernetes API
# description: A process contacted the API server, a kubelet or the store of a cluster.
# custom:
#   id: NET_K8S_API
#   severity: CRITICAL
#   attack: T1613
#   incidents: [litellm 1.82.8, durabletask]
#   false_positives: none during an installation
#   solution: Do not install it; revoke the service account's token if it ran in a cluster.
#   needs: connections, host names
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_K8S_API: %s contacted %s, the control plane of a cluster",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		_kubernetes(contact)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_K8S_API: %s used \"%s\", the control plane of a cluster",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		_package_controlled(named.role)
		some host in network.kubernetes.hosts
		_host_matches(named.host, host)
	})
}

# METADATA
# title: A scan of the neighbourhood
# description: >-
#   Package code tried five or more of the services that spread an attack on private or loopback addresses,
#   five or more private machines, or ten or more ports of this machine.
# custom:
#   id: NET_LATERAL_SCAN
#   severity: HIGH
#   attack: T1046
#   incidents: [durabletask]
#   false_positives: Cluster libraries when they run.
#   solution: Do not install it; it was looking for more machines.
#   needs: connections
deny contains msg if {
	some what in _scans
	peers := sort({connections.peer(contact) | some contact in _neighbours})
	msg := sprintf(
		"HIGH:NET_LATERAL_SCAN: package code tried many %s (%d peers, as %s) to find more machines",
		[what, count(peers), concat(", ", array.slice(peers, 0, 5))],
	)
}

# METADATA
# title: A place to publish packages or code
# description: >-
#   A process that is not the installer contacted an interface through which packages or repositories
#   are changed, or ran a program that publishes. A host that is only named like one is HIGH.
# custom:
#   id: NET_PUBLISH_ENDPOINT
#   severity: CRITICAL
#   attack: T1567.001
#   incidents: [CanisterSprawl, lightning, tensorlake]
#   false_positives: none during an installation
#   solution: Do not install it; revoke tokens for the named service.
#   needs: host names, arguments of programs
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_PUBLISH_ENDPOINT: %s used \"%s\", through which packages or repositories are changed",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		_package_controlled(named.role)
		some host in network.publishing.hosts
		_host_matches(named.host, host)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_PUBLISH_ENDPOINT: %s used \"%s\", named like a place to publish packages",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		_package_controlled(named.role)
		split(lower(named.host), ".")[0] in network.publishing.labels
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_PUBLISH_ENDPOINT: %s \"%s\", which publishes in your name",
		[run.process, text.safe(run.line)],
	) |
		some run in _commands
		regex.match(network.publishing.commands, concat(" ", array.concat([run.base], array.slice(run.args, 1, 6))))
	})
}

# METADATA
# title: The index, by a process that is not the installer
# description: Package code contacted the index of this run, which only the installer needs.
# custom:
#   id: NET_NONPIP_INDEX
#   severity: CRITICAL
#   attack: T1102
#   incidents: [CanisterSprawl]
#   false_positives: Build scripts that call the installer themselves.
#   solution: Do not install it; the index serves as a covert channel or as a way to fetch unrecorded packages.
#   needs: connections, host names, the index's address and hosts
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_NONPIP_INDEX: %s contacted the index of this run (%s); only the installer does that",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		_at_index(contact)
	})
}

deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_NONPIP_INDEX: %s used \"%s\", a host of the index; only the installer does that",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		_package_controlled(named.role)
		lower(named.host) in connections.index_hosts
	})
}

# METADATA
# title: A connection by package code
# description: >-
#   A process that is neither the installer nor a build contacted anything at all, loopback included. At an
#   import this is IMPORT_NEW_CONNECTION.
# custom:
#   id: NET_NONPIP_PROCESS_CONNECT
#   severity: HIGH
#   attack: T1071
#   incidents: [lightning, Mini Shai-Hulud]
#   false_positives: Telemetry agents on loopback.
#   solution: Find out what the process is for; waive it by an exception for this address.
#   needs: connections
deny contains msg if {
	some msg in text.few({sprintf(
		"%s:NET_NONPIP_PROCESS_CONNECT: %s contacted %s; only the installer needs the network",
		[_weak_or(contact, "HIGH"), contact.process, connections.peer(contact)],
	) |
		not connections.importing
		some contact in connections.contacts
		_package_controlled(contact.role)
		contact.role != "build-child"
		not contact.gateway
	})
}

# METADATA
# title: Looking up the own public address
# description: A process asked a service that tells a machine its public address.
# custom:
#   id: NET_IP_LOOKUP
#   severity: MEDIUM
#   attack: T1016
#   incidents: [most stealers]
#   false_positives: Network diagnostics.
#   solution: Look at the other findings of this process.
#   needs: host names
deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:NET_IP_LOOKUP: %s asked \"%s\" for this machine's public address, as stealers do first",
		[named.process, text.safe(named.host)],
	) |
		some named in _named_hosts
		some host in network.address_lookups.hosts
		_host_matches(named.host, host)
	})
}

# METADATA
# title: A decoy credential was sent
# description: A value that only this run's decoys hold was in what a process sent, or in a name that it asked for.
# custom:
#   id: NET_CANARY_LEAK
#   severity: CRITICAL
#   attack: T1041
#   incidents: [litellm 1.82.7, ctx, torchtriton]
#   false_positives: None is known; no honest program sends what it finds in HOME.
#   solution: Do not install it; report it to the index.
#   needs: what was sent and asked
deny contains msg if {
	some msg in text.few({sprintf(
		"CRITICAL:NET_CANARY_LEAK: %s sent the decoy credential \"%s\" to %s, which is theft",
		[leak.process, leak.decoy, leak.to],
	) |
		some leak in connections.leaks
	})
}

# METADATA
# title: Clear text
# description: A process that is not the installer contacted port 80 of another machine.
# custom:
#   id: NET_CLEARTEXT_HTTP
#   severity: MEDIUM
#   attack: T1071.001
#   incidents: [telnyx]
#   false_positives: Certificate revocation lists.
#   solution: Look at the other findings of this process.
#   needs: connections
deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:NET_CLEARTEXT_HTTP: %s contacted %s without encryption, so anybody on the way can change the answer",
		[contact.process, connections.peer(contact)],
	) |
		some contact in connections.contacts
		_package_controlled(contact.role)
		contact.port == 80
		not contact.weak
		contact.scope != "loopback"
	})
}

# METADATA
# title: Much was sent
# description: >-
#   A process that is not the installer sent more than 4 KiB to other machines, at once or in pieces, which
#   had answered nothing.
# custom:
#   id: NET_UPLOAD_ASYMMETRY
#   severity: MEDIUM
#   attack: T1041
#   incidents: [litellm 1.82.8, xinference]
#   false_positives: Telemetry with large reports.
#   solution: Look at the first bytes in the evidence.
#   needs: what the sinkhole received
deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:NET_UPLOAD_ASYMMETRY: %s sent %v bytes to \"%s\", which had not answered; that is how files leave",
		[process.describe(proc), flow.bytes, text.safe(flow.address)],
	) |
		some proc in input.processes
		_package_controlled(process.role(proc))
		some flow in proc.network.flows
		is_number(flow.bytes)
		flow.bytes > 4096
	})
}

# In pieces. The opening of a TLS session says nothing yet, so these do not add up.
deny contains msg if {
	some msg in text.few({sprintf(
		"MEDIUM:NET_UPLOAD_ASYMMETRY: %s sent %v bytes in %d pieces, unanswered; that is how files leave",
		[process.describe(proc), sum(pieces), count(pieces)],
	) |
		some proc in input.processes
		_package_controlled(process.role(proc))
		pieces := [flow.bytes |
			some flow in proc.network.flows
			connections.word(flow, "serverName") == ""
			is_number(flow.bytes)
			flow.bytes <= 4096
		]
		sum(pieces) > 4096
	})
}

# METADATA
# title: Another name than was asked for
# description: A TLS connection or an HTTP request names another host than the one whose address it goes to.
# custom:
#   id: NET_SNI_ADDR_MISMATCH
#   severity: HIGH
#   attack: T1090.004
#   incidents: [domain fronting by packages of 2021]
#   false_positives: none during an installation
#   solution: Do not install it; the name hides where the data goes.
#   needs: what the sinkhole received
deny contains msg if {
	some msg in text.few({sprintf(
		"HIGH:NET_SNI_ADDR_MISMATCH: %s called \"%s\" at the address %s, which is not that host's",
		[process.describe(proc), text.safe(name), text.safe(flow.address)],
	) |
		some proc in input.processes
		_package_controlled(process.role(proc))
		some flow in proc.network.flows
		some key in ["serverName", "httpHost"]
		name := split(lower(connections.word(flow, key)), ":")[0]
		regex.match(`[a-z]`, name) # not an address
		name != lower(connections.word(flow, "hostname"))
	})
}

not_evaluated contains sprintf("%s: %s", [id, reason]) if {
	some id, calls in _needs
	reason := coverage.reason(calls)
}

not_evaluated contains sprintf("%s: what was sent, and the names that were asked, are not in the evidence", [id]) if {
	_contacted_something
	not connections.sinkhole
	some id in _about_contents
}

_about_contents := [
	"NET_EXFIL_SERVICE",
	"NET_UNEXPECTED_HOST",
	"NET_BLOCKCHAIN_C2",
	"NET_PUBLISH_ENDPOINT",
	"NET_IP_LOOKUP",
	"NET_DNS_TUNNEL",
	"NET_UPLOAD_ASYMMETRY",
	"NET_SNI_ADDR_MISMATCH",
]

_contacted_something if {
	some contact in connections.contacts
	_package_controlled(contact.role)
}

_contacted_something if {
	some proc in input.processes
	some _ in proc.network.dnsLookups
}

_needs := {
	"NET_IMDS_ACCESS": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"NET_RAW_IP": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"NET_SUSPICIOUS_PORT": {"connect"},
	"NET_BUILD_CONNECT": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"NET_DNS_FOREIGN_RESOLVER": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"NET_EXFIL_TOOL": {"execve", "execveat"},
	"NET_DOWNLOAD_TOOL": {"execve", "execveat"},
	"NET_REVERSE_SHELL": {"connect", "dup3", "execve", "execveat"},
	"NET_LISTENER": {"bind", "listen"},
	"NET_RAW_SOCKET": {"socket"},
	"NET_TOR": {"connect"},
	"NET_K8S_API": {"connect"},
	"NET_LATERAL_SCAN": {"connect"},
	"NET_NONPIP_INDEX": {"connect"},
	"NET_NONPIP_PROCESS_CONNECT": {"connect", "sendto", "sendmsg", "sendmmsg"},
	"NET_CLEARTEXT_HTTP": {"connect"},
}

_package_controlled(role) if role != "installer"

_at_index(contact) if contact.gateway

_at_index(contact) if contact.address in connections.index_hosts

_weak_or(contact, _) := "MEDIUM" if contact.weak

_weak_or(contact, severity) := severity if not contact.weak

_metadata_service(contact) if contact.address in network.metadata_services.addresses

_metadata_service(contact) if {
	some host in network.metadata_services.hosts
	_host_matches(contact.hostname, host)
}

_metadata_name(name) if {
	some host in network.metadata_services.hosts
	_host_matches(name, host)
}

_metadata_name(name) if name in network.metadata_services.addresses

# Names that public services resolve to the address that they contain.
_metadata_name(name) if {
	some address in network.metadata_services.addresses
	some separator in [".", "-"]
	contains(name, sprintf("%s.", [replace(address, ".", separator)]))
}

_raw_severity(contact) := _weak_or(contact, "HIGH") if contact.port in {80, 443}

_raw_severity(contact) := _weak_or(contact, "CRITICAL") if not contact.port in {80, 443}

_suspicious_port(contact) if contact.port in network.suspicious_ports.ports

_suspicious_port(contact) if {
	contact.scope == "public"
	contact.port in network.suspicious_ports.public_ports
}

_foreign_resolver(contact) if contact.port in {53, 853}

_foreign_resolver(contact) if {
	contact.address in network.public_resolvers.addresses
	contact.port in {80, 443}
}

_foreign_resolver(contact) if {
	some host in network.public_resolvers.hosts
	_host_matches(contact.hostname, host)
}

_listener_severity(listener) := "HIGH" if listener.scope != "loopback"

_listener_severity(listener) := "MEDIUM" if listener.scope == "loopback"

_raw_socket(socket) if {
	socket.type == "SOCK_RAW"
	socket.family != "AF_NETLINK" # where the type means nothing
}

# AF_PACKET by name and by number.
_raw_socket(socket) if socket.family in {"AF_PACKET", "AF_17"}

_tor(contact) if {
	contact.scope == "loopback"
	contact.port in network.tor.proxy_ports
}

_tor(contact) if {
	contact.scope == "public"
	contact.port in network.tor.relay_ports
}

_kubernetes(contact) if contact.port in network.kubernetes.ports

_kubernetes(contact) if {
	contact.address in network.kubernetes.addresses
	contact.port == 443
}

_kubernetes(contact) if {
	some host in network.kubernetes.hosts
	_host_matches(contact.hostname, host)
}

_scans contains "services on private addresses" if count(_scanned) >= 5

# Whatever the services: nobody else asks for so many machines, or so many ports.
_scans contains "private addresses" if count({c.address | some c in _neighbours; c.scope != "loopback"}) >= 5

_scans contains "ports of this machine" if count({c.port | some c in _neighbours; c.scope == "loopback"}) >= 10

_neighbours contains contact if {
	some contact in connections.contacts
	_package_controlled(contact.role)
	contact.scope in {"private", "loopback", "link-local"}
	not contact.weak
}

_scanned contains [contact.address, contact.port] if {
	some contact in _neighbours
	contact.port in network.scanned_ports.ports
}

_host_matches(name, host) if lower(name) == host

_host_matches(name, host) if endswith(lower(name), concat("", [".", host]))

# Hosts that were named: in a connection, in a name query, or in an argument of
# a program that package code ran. A host that the user allows the installer to
# reach is none where the installer reached it.
_named_hosts contains named if {
	some contact in connections.contacts
	not contact.allowed
	contact.hostname != ""
	named := {"host": contact.hostname, "process": contact.process, "role": contact.role, "source": "connection"}
}

_named_hosts contains named if {
	some proc in input.processes
	some lookup in proc.network.dnsLookups
	query := connections.word(lookup, "query")
	query != ""
	not _asked_for_allowed(proc, query)
	named := {
		"host": trim_suffix(query, "."),
		"process": process.describe(proc),
		"role": process.role(proc),
		"source": "query",
	}
}

_named_hosts contains named if {
	some proc in input.processes
	some flow in proc.network.flows
	not connections.relayed(proc, flow)
	some key in ["hostname", "serverName", "httpHost"]
	host := split(connections.word(flow, key), ":")[0]
	regex.match(`[A-Za-z]`, host) # not an address
	named := {"host": host, "process": process.describe(proc), "role": process.role(proc), "source": "flow"}
}

_named_hosts contains named if {
	some run in _commands
	some argument in run.args
	some url in regex.find_all_string_submatch_n(`(?i)^[a-z][a-z0-9+.-]*://(?:[^/@\s]*@)?([a-z0-9.-]+)`, argument, 1)
	named := {
		"host": url[1],
		"process": sprintf("%s a program that", [run.process]),
		"role": run.role,
		"source": "argument",
	}
}

_asked_for_allowed(proc, query) if {
	process.role(proc) == "installer"
	trim_suffix(lower(query), ".") in connections.allowed_hosts
}

# What package code ran or tried to run, also behind a shell or another program.
_commands contains run if {
	some command in programs.commands
	run := {
		"base": command.base,
		"args": array.concat([command.base], command.args),
		"line": command.line,
		"role": command.role,
		"process": sprintf("%s %s", [command.who, _verb(command)]),
	}
}

_commands contains run if {
	some shell_text in programs.texts
	regex.match(network.shell_bridges.anywhere, shell_text.text)
	run := {
		"base": "sh",
		"args": ["sh", "-c", shell_text.text],
		"line": shell_text.text,
		"role": shell_text.role,
		"process": sprintf("%s %s", [shell_text.who, _verb(shell_text)]),
	}
}

_verb(command) := "ran" if not command.failed

_verb(command) := "tried to run" if command.failed

_uploads(run) if {
	run.base in network.upload_commands.always
	count(run.args) > 1
	not _prints_version(run)
}

_uploads(run) if {
	pattern := network.upload_commands.arguments[run.base]
	some argument in array.slice(run.args, 1, count(run.args))
	regex.match(pattern, argument)
}

_uploads(run) if {
	some argument in run.args
	regex.match(network.upload_commands.options, argument)
	some other in run.args
	contains(other, "://")
}

_prints_version(run) if {
	count(run.args) == 2
	run.args[1] in {"--version", "-V", "--help", "-h"}
}

_download_severity(run) := "CRITICAL" if _insecure(run)

_download_severity(run) := "HIGH" if not _insecure(run)

_insecure(run) if {
	some argument in run.args
	regex.match(network.download_commands.insecure, argument)
}

# Descriptors of the standard streams onto which a process duplicated a socket
# that it had connected to an Internet address.
_bridged(proc) := {event.args[1] |
	sockets := {c.fd | some c in proc.network.connections; connections.internet(c); c.syscall == "connect"}
	some event in proc.syscallEvents
	event.syscall in {"dup2", "dup3"}
	event.args[0] in sockets
	event.args[1] in {0, 1, 2}
}

# A socket that the parent connected and that the child has as its input and its
# output: pipes are two descriptors, a socket is one.
_handed_down(proc) := {event.args[0] |
	some event in proc.syscallEvents
	event.syscall in {"dup2", "dup3"}
	event.args[1] == 0
	some other in proc.syscallEvents
	other.syscall in {"dup2", "dup3"}
	other.args[0] == event.args[0]
	other.args[1] == 1
	_connected[proc.parentpid][event.args[0]]
	not _connected[proc.processid][event.args[0]]
}

# Descriptors that each process connected to the Internet families, by process number.
_connected := object.union_n([{proc.processid: {c.fd: true}} |
	some proc in input.processes
	some c in proc.network.connections
	connections.internet(c)
	c.syscall == "connect"
])

_remote_shell(run) if regex.match(network.shell_bridges.anywhere, run.line)

_remote_shell(run) if {
	run.base in {"nc", "ncat", "netcat"}
	some argument in run.args
	regex.match(network.shell_bridges.netcat, argument)
}

_remote_shell(run) if {
	run.base == "socat"
	some argument in run.args
	regex.match(network.shell_bridges.socat, argument)
}
