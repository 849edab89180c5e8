package check

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pip-witness/evidence"
	"pip-witness/internal/capture"
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
	trace.Contact = func(k capture.Contact, listen func(network, address string, port int) (*os.File, error)) {
		sinkhole.Contact(egress.Contact{Network: k.Network, Address: k.Address, Port: k.Port, Process: k.Process}, listen)
	}
	return sinkhole
}

// relay lets the installer's own processes, and nothing that they run of a
// package, reach further than the sandbox: the hosts that the user allows, and
// repositories through the gateway. Which processes these are is decided by the
// same rules as in the evidence, while each of them waits.
func (c *run) relay(trace *step.Trace, sinkhole *egress.Sinkhole, ground evidence.Sandbox) (err error) {
	if c.Network != NetworkIndex {
		return nil
	}
	config := c.egressConfig()
	if config.Allowed, err = c.inputs.hosts(c.AllowedHosts); err != nil {
		return err
	}
	if sinkhole.Relay, err = egress.NewRelay(config); err != nil {
		return err
	}
	if c.gateway.HasRepositories() {
		if sinkhole.Gateway, err = netip.ParseAddrPort(c.gateway.Addr()); err != nil {
			return fmt.Errorf("index gateway address: %w", err)
		}
	}
	c.gateway.Caller = sinkhole.Caller
	trace.Contact = func(k capture.Contact, listen func(network, address string, port int) (*os.File, error)) {
		installer := func() bool {
			return evidence.RoleNow(k.Lineage(), ground, evidence.StepInstall) == evidence.RoleInstaller
		}
		sinkhole.Contact(egress.Contact{
			Network: k.Network, Address: k.Address, Port: k.Port, Process: k.Process, Installer: installer,
		}, listen)
	}
	return nil
}

// hiddenFiles lays an empty file over those that may hold the user's credentials
// for indexes: nothing inside needs them, and not all lie in HOME, or whatever
// else is empty inside.
func (c *run) hiddenFiles() ([]sandbox.Bind, error) {
	empty := c.world.host(dirInputs, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return nil, fmt.Errorf("hide files with credentials: %w", err)
	}
	files := append(slices.Clone(c.config.Files), c.config.ClientCert)
	for _, kv := range c.Environ {
		if path, ok := strings.CutPrefix(kv, "NETRC="); ok {
			files = append(files, path)
		}
	}
	var binds []sandbox.Bind
	for _, file := range files {
		if file != "" && !filepath.IsAbs(file) {
			file = filepath.Join(c.WorkDir, file)
		}
		real, err := filepath.EvalSymlinks(file)
		if info, err2 := os.Stat(real); err != nil || err2 != nil || !info.Mode().IsRegular() {
			continue // empty, or not there
		}
		if !c.world.visible(real) {
			continue
		}
		if !slices.ContainsFunc(binds, func(b sandbox.Bind) bool { return b.Target == real }) {
			binds = append(binds, sandbox.Bind{Source: empty, Target: real})
		}
	}
	return binds, nil
}

// visible tells whether a file of the host can be seen inside.
func (w *world) visible(path string) bool {
	below := func(dir string) bool { return within(path, dir) }
	return !slices.ContainsFunc(append(w.hidden(), "/tmp", "/run", "/home", "/root"), below) || slices.ContainsFunc(w.python.ReadPaths, below)
}

// resolverBind shows a resolv.conf that names the sandbox's own name server.
func (w *world) resolverBind() (sandbox.Bind, error) {
	path := w.host(dirInputs, "resolv.conf")
	err := os.WriteFile(path, []byte("nameserver "+nameServer+"\noptions timeout:2 attempts:1\n"), 0o644)
	return sandbox.Bind{Source: path, Target: "/etc/resolv.conf"}, err
}

// addEgress puts what the sinkhole received into the record of the processes
// that sent it, with what the gateway asked repositories for them, and names to
// the addresses that were contacted.
func addEgress(command *evidence.CommandRun, sinkhole *egress.Sinkhole, asked []egress.Flow) {
	for _, f := range asked {
		network := &sender(command, f.Process, f.Address, f.Port).Network
		network.Flows = append(network.Flows, f.Flow)
	}
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
