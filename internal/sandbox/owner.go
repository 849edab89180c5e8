package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SocketOwner finds the process inside that has a socket with this local port,
// "tcp" or "udp", by its number inside; 0 when there is none. init is
// [Box.InitPID]. Of processes that share the socket it is the one with the
// highest number, the youngest.
func SocketOwner(init int, network string, port int) int {
	inode := ""
	for _, table := range []string{network, network + "6"} {
		if inode = socketInode(fmt.Sprintf("/proc/%d/net/%s", init, table), port); inode != "" {
			break
		}
	}
	if inode == "" {
		return 0
	}
	root := fmt.Sprintf("/proc/%d/root/proc", init)
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0
	}
	owner := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid > 1 && pid > owner && hasSocket(filepath.Join(root, e.Name(), "fd"), inode) {
			owner = pid
		}
	}
	return owner
}

// socketInode reads a table of /proc/net: the second field is the local
// address:port in hexadecimal, the tenth the inode (proc(5)).
func socketInode(table string, port int) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 10 && strings.HasSuffix(fields[1], suffix) && fields[9] != "0" {
			return fields[9]
		}
	}
	return ""
}

func hasSocket(dir, inode string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// Descendants lists the live processes below pid, by their numbers outside. It is
// for boxes without namespaces; in a namespace /proc/INIT/root/proc lists them.
func Descendants(pid int) []int { return descendants(pid) }
