package capture

import (
	"slices"

	"pip-witness/evidence"
)

// Contact is an IP address that a process is about to contact.
type Contact struct {
	Network string // "tcp" or "udp"
	Address string // without port
	Port    int
	// Process is the number of the calling process inside.
	Process int
	// Lineage returns the calling process behind its ancestors, the oldest that is
	// known first: numbers, program, arguments and execs of each. It has to be called
	// before the function that got the contact returns.
	Lineage func() []evidence.Process
}

func (s *Supervisor) contact(p *process, network, address string, port int) Contact {
	return Contact{
		Network: network, Address: address, Port: port, Process: p.inside,
		Lineage: func() []evidence.Process { return s.lineage(p) },
	}
}

// lineage follows the recorded parents, so that it agrees with what is decided on
// the whole record later: numbers are used again, and the parent is the latest
// earlier process with that number.
func (s *Supervisor) lineage(p *process) []evidence.Process {
	var line []evidence.Process
	for at := slices.Index(s.order, p); at >= 0; {
		r := s.order[at].record
		line = append(line, evidence.Process{
			ProcessID: r.ProcessID, ParentPID: r.ParentPID, Program: r.Program, Args: slices.Clone(r.Args), Execs: slices.Clone(r.Execs),
		})
		parent := -1
		for i := at - 1; i >= 0 && parent < 0; i-- {
			if s.order[i].record.ProcessID == r.ParentPID {
				parent = i
			}
		}
		at = parent
	}
	slices.Reverse(line)
	return line
}
