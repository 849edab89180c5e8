package check

import (
	"net/netip"
	"os"
	"slices"

	"pip-witness/evidence"
	"pip-witness/internal/egress"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/step"
)

// nameServer is the address in resolv.conf inside: one that no host has (RFC
// 2544). Whoever asks another server gets its answers from the sinkhole as well.
const nameServer = "198.19.255.53"

// sink gives a step's trace the sinkhole for everything that is not loopback.
// With the host's own network there is none.
func (c *run) sink(trace *step.Trace) *egress.Sinkhole {
	if c.Network == NetworkHost {
		return nil
	}
	sinkhole := egress.NewSinkhole(func(string, int) int { return 0 })
	for _, d := range c.world.decoys {
		sinkhole.Canaries = append(sinkhole.Canaries, egress.Canary{Name: d.Path + d.Variable, Value: d.Canary})
	}
	before := trace.Before
	trace.Before = func(init int) error {
		sinkhole.Owner = func(network string, port int) int { return sandbox.SocketOwner(init, network, port) }
		if before == nil {
			return nil
		}
		return before(init)
	}
	trace.Contact = sinkhole.Contact
	return sinkhole
}

// resolverBind shows a resolv.conf that names the sandbox's own name server.
func (w *world) resolverBind() (sandbox.Bind, error) {
	path := w.host(dirInputs, "resolv.conf")
	err := os.WriteFile(path, []byte("nameserver "+nameServer+"\noptions timeout:2 attempts:1\n"), 0o644)
	return sandbox.Bind{Source: path, Target: "/etc/resolv.conf"}, err
}

// addEgress puts what the sinkhole received into the record of the processes
// that sent it, and names to the addresses that were contacted.
func addEgress(command *evidence.CommandRun, sinkhole *egress.Sinkhole) {
	if sinkhole == nil {
		return
	}
	sinkhole.Close()
	if n := sinkhole.Dropped(); n > 0 {
		command.Coverage.Losses["egress"] = n
		command.Coverage.Complete = false
	}
	for i := range command.Processes {
		network := &command.Processes[i].Network
		for j := range network.Connections {
			if c := &network.Connections[j]; c.Hostname == "" {
				c.Hostname = sinkhole.Host(c.Address)
			}
		}
	}
	for _, f := range sinkhole.Flows() {
		network := &sender(command, f.Process, f.Address, f.Port).Network
		network.Flows = append(network.Flows, f.Flow)
	}
	for _, q := range sinkhole.Queries() {
		network := &sender(command, q.Process, q.Server, 53).Network
		network.DNSLookups = append(network.DNSLookups, evidence.DNSLookup{
			ServerAddress: q.Server, ServerPort: 53, Query: q.Name, Type: q.Type, Canaries: q.Canaries,
		})
	}
}

// sender is the process with that number; when it is not known, the first one
// that contacted the address; else the command.
func sender(command *evidence.CommandRun, pid int, address string, port int) *evidence.Process {
	for i := len(command.Processes) - 1; i >= 0 && pid != 0; i-- {
		if command.Processes[i].ProcessID == pid {
			return &command.Processes[i]
		}
	}
	same := func(c evidence.Connection) bool {
		a, err := netip.ParseAddr(c.Address)
		b, err2 := netip.ParseAddr(address)
		return err == nil && err2 == nil && a.Unmap() == b.Unmap() && c.Port == port
	}
	for i := range command.Processes {
		if slices.ContainsFunc(command.Processes[i].Network.Connections, same) {
			return &command.Processes[i]
		}
	}
	return &command.Processes[0]
}
