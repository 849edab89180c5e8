package seal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"pip-witness/attestation"
)

// The supervisor of a run reads what a hostile package leaves, so the private key
// is not in its memory. Another process of the same binary holds it:
//
//	supervisor                        signer
//	Start ── fork, exec self ───────▶ not dumpable, no core file, deaf to signals
//	      ── grant ─────────────────▶ read and close the key file, or make a key
//	Wait  ◀── public key, or why not ─
//	Sign  ── DSSE message ──────────▶ count it, look at its payload type
//	      ◀── signature, or why not ──
//	Close ── end of file ───────────▶ exit; the kernel kills it when the
//	                                  supervisor dies in another way
//
// What the supervisor can be made to have signed is bounded by the grant: so many
// messages of these payload types, and nothing after the run.

// signerName is argument zero of the re-executed binary.
const signerName = "pip-witness: sign"

// signerFD is where the signer finds its socket.
const signerFD = 3

// maxMessage bounds one message: the largest document and what DSSE puts before.
const maxMessage = attestation.MaxDocument + 1<<10

// Key signs for one identity: a [PrivateKey], or a [Signer] elsewhere.
type Key interface {
	attestation.Signer
	// Public is the public half.
	Public() attestation.PublicKey
}

// Grant is what a signer may sign with which key.
type Grant struct {
	// KeyFile is the private key; empty makes one that is never written anywhere.
	KeyFile string `json:"keyFile"`
	// PayloadTypes are the DSSE payload types, Signatures the number of messages.
	PayloadTypes []string `json:"payloadTypes"`
	Signatures   int      `json:"signatures"`
}

// Main takes the part of the signer when this process was re-executed as one, and
// then never returns; otherwise it returns at once. Programs and test binaries
// that start signers call it before anything else.
func Main() {
	if len(os.Args) > 0 && os.Args[0] == signerName {
		os.Exit(signerMain())
	}
}

// Signer is a signing process that has its key. It satisfies [attestation.Signer].
type Signer struct {
	public  attestation.PublicKey
	process *Starting
	mu      sync.Mutex // one message at a time
}

// Starting is a signing process that may not have its key yet.
type Starting struct {
	command *exec.Cmd
	socket  *os.File
	close   sync.Once
}

// Start starts a signing process and does not wait for it, so that it gets ready
// beside other work.
func Start(grant Grant) (*Starting, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start signer: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "signer")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil { // so that Close ends a read
		unix.Close(pair[0])
		return nil, fmt.Errorf("start signer: %w", err)
	}
	s := &Starting{socket: os.NewFile(uintptr(pair[0]), "signer")}
	s.command = exec.Command("/proc/self/exe")
	s.command.Args = []string{signerName}
	s.command.Env = []string{"GOMAXPROCS=1"}
	s.command.ExtraFiles = []*os.File{theirs}
	// A session of its own: what a terminal sends is for the command. No parent death
	// signal, which would come when the calling thread ends; the end of the file comes
	// when the process does.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.command.Start(); err != nil {
		s.socket.Close()
		return nil, fmt.Errorf("start signer: %w", err)
	}
	text, err := json.Marshal(grant)
	if err == nil {
		err = writeMessage(s.socket, text)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("start signer: %w", err)
	}
	return s, nil
}

// Close ends the signing process, also one that a [Signer] came of. It may be
// called more than once.
func (s *Starting) Close() {
	s.close.Do(func() {
		s.socket.Close()
		_ = s.command.Process.Kill() // it ends by itself as well, at the end of the file
		_ = s.command.Wait()         // killed
	})
}

// Wait waits until the process has its key. Its error says what is wrong with the
// key file, as [LoadPrivateKey] does, and matches the same causes.
func (s *Starting) Wait() (*Signer, error) {
	text, err := readMessage(s.socket)
	if err != nil {
		return nil, fmt.Errorf("start signer: it ended early: %w", err)
	}
	var a introduction
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("start signer: %w", err)
	}
	if a.Error != "" {
		return nil, &keyError{a.Error, a.Errno}
	}
	public, err := attestation.ParsePublicKey(a.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("start signer: %w", err)
	}
	return &Signer{public: public, process: s}, nil
}

// introduction is the first message of a signer.
type introduction struct {
	PublicKey []byte        `json:"publicKey,omitempty"` // PEM
	Error     string        `json:"error,omitempty"`
	Errno     syscall.Errno `json:"errno,omitempty"`
}

// keyError is an error of the signing process, with its cause in the kernel.
type keyError struct {
	text  string
	errno syscall.Errno
}

func (e *keyError) Error() string { return e.text }

func (e *keyError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// KeyID is the key id of the public key.
func (s *Signer) KeyID() string { return s.public.KeyID() }

// Public is the public half.
func (s *Signer) Public() attestation.PublicKey { return s.public }

// Answers of a signer begin with one of these.
const (
	answerSignature = 's'
	answerRefusal   = 'r'
)

// Sign has the message signed, which has to be one of DSSE ([attestation.PAE])
// that the grant covers.
func (s *Signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(message) > maxMessage {
		return nil, fmt.Errorf("sign: message of %d MiB is %w", len(message)>>20, attestation.ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.process.Close)
	defer stop()
	if err := writeMessage(s.process.socket, message); err != nil {
		return nil, fmt.Errorf("sign: %w", errors.Join(context.Cause(ctx), err))
	}
	answer, err := readMessage(s.process.socket)
	if err != nil {
		return nil, fmt.Errorf("sign: the signer ended: %w", errors.Join(context.Cause(ctx), err))
	}
	if len(answer) == 0 || answer[0] != answerSignature {
		return nil, fmt.Errorf("sign: refused: %s", bytes.TrimPrefix(answer, []byte{answerRefusal}))
	}
	return answer[1:], nil
}

// signerMain is the life of the signer.
func signerMain() int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	unix.CloseOnExec(signerFD)
	socket := os.NewFile(signerFD, "supervisor")
	if err := hide(); err != nil {
		return 1
	}
	text, err := readMessage(socket)
	if err != nil {
		return 1
	}
	var grant Grant
	if err := json.Unmarshal(text, &grant); err != nil {
		return 1
	}
	key, err := grant.key()
	if err != nil {
		a := introduction{Error: err.Error()}
		errors.As(err, &a.Errno)
		return introduce(socket, a)
	}
	if code := introduce(socket, introduction{PublicKey: key.Public().PEM()}); code != 0 {
		return code
	}
	return serve(socket, grant, key)
}

// hide keeps other processes of the same user out of this one's memory, and its
// memory off the disk.
func hide() error {
	return errors.Join(
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
	)
}

func (g Grant) key() (*PrivateKey, error) {
	if g.KeyFile == "" {
		return Ephemeral()
	}
	return LoadPrivateKey(g.KeyFile)
}

func introduce(socket *os.File, a introduction) int {
	text, err := json.Marshal(a)
	if err != nil || writeMessage(socket, text) != nil {
		return 1
	}
	return 0
}

// serve signs until the grant is used up or the supervisor is gone. A refusal
// counts as well: there is no guessing.
func serve(socket *os.File, grant Grant, key *PrivateKey) int {
	for left := grant.Signatures; ; left-- {
		message, err := readMessage(socket)
		if err != nil {
			return 0
		}
		answer, err := grant.sign(key, message, left)
		if err != nil {
			answer = append([]byte{answerRefusal}, err.Error()...)
		} else {
			answer = append([]byte{answerSignature}, answer...)
		}
		if err := writeMessage(socket, answer); err != nil {
			return 0
		}
	}
}

func (g Grant) sign(key *PrivateKey, message []byte, left int) ([]byte, error) {
	if left <= 0 {
		return nil, fmt.Errorf("all %d signatures of this run were made", g.Signatures)
	}
	payloadType, err := payloadTypeOf(message)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(g.PayloadTypes, payloadType) {
		return nil, fmt.Errorf("payload type %q: this run signs %q", payloadType, g.PayloadTypes)
	}
	return key.Sign(context.Background(), message) // of a process that has nothing else to do
}

// payloadTypeOf reads a message that DSSE makes: "DSSEv1", the length of the type,
// the type, the length of the payload, the payload, separated by spaces. Both
// lengths have to be exact, so that a message has one reading only.
func payloadTypeOf(message []byte) (string, error) {
	rest, ok := bytes.CutPrefix(message, []byte("DSSEv1 "))
	if !ok {
		return "", errors.New("not a DSSE message")
	}
	payloadType, rest, err := cutCounted(rest)
	if err != nil || len(rest) == 0 || rest[0] != ' ' {
		return "", errors.New("not a DSSE message: payload type")
	}
	if _, rest, err = cutCounted(rest[1:]); err != nil || len(rest) != 0 {
		return "", errors.New("not a DSSE message: payload")
	}
	return string(payloadType), nil
}

// cutCounted cuts a decimal length, a space and so many bytes off text.
func cutCounted(text []byte) (counted, rest []byte, err error) {
	digits, _, _ := bytes.Cut(text[:min(len(text), 20)], []byte{' '})
	n, err := strconv.Atoi(string(digits))
	if err != nil || n < 0 || strconv.Itoa(n) != string(digits) {
		return nil, nil, errors.New("no length")
	}
	rest = text[min(len(text), len(digits)+1):]
	if n > len(rest) {
		return nil, nil, errors.New("too short")
	}
	return rest[:n], rest[n:], nil
}

// writeMessage writes a 4-byte big-endian length and the message.
func writeMessage(to io.Writer, message []byte) error {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(message)))
	if _, err := to.Write(head[:]); err != nil {
		return err
	}
	_, err := to.Write(message)
	return err
}

func readMessage(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return nil, fmt.Errorf("message of %d bytes, limit %d", size, maxMessage)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, err
	}
	return message, nil
}
