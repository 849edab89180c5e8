package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// maxFrame bounds one control frame; the largest is a run frame with its environment.
const maxFrame = 8 << 20 // 8 MiB

// Frame kinds, supervisor to init and back.
const (
	frameSetup  = "setup"  // Spec: build the world
	frameReady  = "ready"  // the world is there; carries the gateway listener
	frameRun    = "run"    // Command: start it; carries stdin, stdout, stderr, results
	frameNotify = "notify" // the command's seccomp listener; carries it
	frameThread = "thread" // the number of the thread that waits to be traced
	frameGo     = "go"     // it is traced, and may go on
	frameExited = "exited" // the command's status
	frameKill   = "kill"   // kill every process inside but init
	frameError  = "error"  // what could not be done
	frameListen = "listen" // on the other socket: open a listening socket; the answer carries it
)

// frame is one message on the control socket: a 4-byte big-endian length, then JSON.
type frame struct {
	Kind    string   `json:"kind"`
	Setup   *Spec    `json:"setup,omitempty"`
	Run     *Command `json:"run,omitempty"`
	Status  int      `json:"status,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Port    int      `json:"port,omitempty"`
	Network string   `json:"network,omitempty"` // tcp or udp
	Address string   `json:"address,omitempty"`
	World   *world   `json:"world,omitempty"`
	Error   string   `json:"error,omitempty"`
	// NoListener says of an error that it is ErrNoListener.
	NoListener bool   `json:"noListener,omitempty"`
	Hint       string `json:"hint,omitempty"` // of an UnavailableError
}

// world is what init made of a Spec.
type world struct {
	Layers  []Layer  `json:"layers,omitempty"`
	Made    []string `json:"made,omitempty"`    // paths inside that were made as mount points
	Missing []string `json:"missing,omitempty"` // protections that could not be had
}

// sendFrame writes f and passes fds with its first byte.
func sendFrame(sock int, f frame, fds ...int) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode %s frame: %w", f.Kind, err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("send %s frame: %d bytes, limit %d", f.Kind, len(body), maxFrame)
	}
	buf := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	buf = append(buf, body...)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for len(buf) > 0 {
		n, err := unix.SendmsgN(sock, buf, rights, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("send %s frame: %w", f.Kind, err)
		}
		buf, rights = buf[n:], nil
	}
	return nil
}

// receiveFrame reads one frame and the descriptors passed with it (close on
// exec). It returns io.EOF when the other side is gone.
func receiveFrame(sock int) (frame, []int, error) {
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(8*4))
	fds, err := readFull(sock, head[:], oob)
	if err != nil {
		return frame{}, nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return frame{}, fds, fmt.Errorf("receive frame: %d bytes, limit %d", size, maxFrame)
	}
	body := make([]byte, size)
	if _, err := readFull(sock, body, nil); err != nil {
		return frame{}, fds, fmt.Errorf("receive frame: %w", err)
	}
	var f frame
	if err := json.Unmarshal(body, &f); err != nil {
		return frame{}, fds, fmt.Errorf("decode frame: %w", err)
	}
	return f, fds, nil
}

func readFull(sock int, buf, oob []byte) ([]int, error) {
	var fds []int
	for got := 0; got < len(buf); {
		n, oobn, _, _, err := unix.Recvmsg(sock, buf[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fds, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return fds, io.EOF
		}
		got += n
		if oobn > 0 {
			more, err := parseRights(oob[:oobn])
			if err != nil {
				return fds, err
			}
			fds = append(fds, more...)
		}
	}
	return fds, nil
}

func parseRights(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parse control message: %w", err)
	}
	var fds []int
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, fmt.Errorf("parse passed descriptors: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
