package egress

import "net/netip"

// permit says that a process may have its connection to an address passed on.
type permit struct {
	process int
	at      netip.AddrPort
}

// decide notes whether the process is one whose connection to this address goes
// further than the sandbox. It is decided anew at every contact, because numbers
// of processes are used again and a process becomes another program; the process
// waits meanwhile, so that its connection comes later.
func (s *Sinkhole) decide(c Contact, ip netip.Addr) {
	if c.Network != "tcp" {
		return
	}
	key := permit{c.Process, netip.AddrPortFrom(ip, uint16(c.Port))}
	name := s.Host(c.Address)
	further := s.Relay != nil && s.Relay.allows(name, ip.String(), c.Port) || s.Gateway.IsValid() && key.at == s.Gateway
	further = further && c.Installer != nil && c.Installer()
	s.mu.Lock()
	defer s.mu.Unlock()
	if further && len(s.permits) < sinkMaxFlows {
		s.permits[key] = true
	} else {
		delete(s.permits, key)
	}
}

func (s *Sinkhole) permitted(process int, ip netip.Addr, port int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return process != 0 && s.permits[permit{process, netip.AddrPortFrom(ip.Unmap(), uint16(port))}]
}

// relayed returns where a connection that was accepted goes: to the name that was
// asked for, or to the address itself.
func (s *Sinkhole) relayed(process int, address string, port int) (host string, ok bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil || !s.permitted(process, ip, port) {
		return "", false
	}
	if name := s.Host(address); name != "" {
		return hostName(name), true
	}
	return ip.Unmap().String(), true
}

// Caller is the process inside that has the other end of a connection to the
// gateway, from that local port, and whether it is one of the installer's own.
func (s *Sinkhole) Caller(port int) (process int, installer bool) {
	process = s.Owner("tcp", port)
	return process, s.permitted(process, s.Gateway.Addr(), int(s.Gateway.Port()))
}
