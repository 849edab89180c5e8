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
// messages of these payload types, one verification summary for each subject of a
// statement that was signed before, and nothing after the run.

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
	// Password opens an encrypted key; PasswordFile holds it, and then this process
	// never does. Neither is needed for a plain key.
	Password     []byte `json:"password,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	// PayloadTypes are the DSSE payload types, Signatures the number of messages.
	PayloadTypes []string `json:"payloadTypes"`
	Signatures   int      `json:"signatures"`
	// Summaries lets one verification summary be signed, besides these, for each
	// subject of the statements that were signed before it: nobody knows at the start
	// of a run how many distribution files it will be about.
	Summaries bool `json:"summaries,omitempty"`
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
	// Prompt asks for the password of a key that turned out to be encrypted; nil, or
	// an error that matches [ErrPasswordNeeded], leaves that an error.
	Prompt func() ([]byte, error)
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
	a, err := s.introduced()
	if err == nil && a.NeedsPassword && s.Prompt != nil {
		var password []byte
		if password, err = s.Prompt(); err != nil {
			return nil, err
		}
		if err = writeMessage(s.socket, password); err == nil {
			a, err = s.introduced()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start signer: %w", err)
	}
	if a.Error != "" {
		return nil, &keyError{a.Error, a.cause()}
	}
	public, err := attestation.ParsePublicKey(a.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("start signer: %w", err)
	}
	return &Signer{public: public, process: s}, nil
}

func (s *Starting) introduced() (introduction, error) {
	var a introduction
	text, err := readMessage(s.socket)
	if err != nil {
		return a, fmt.Errorf("it ended early: %w", err)
	}
	return a, json.Unmarshal(text, &a)
}

// introduction is the first message of a signer, and the second one when the
// first said that it needs a password.
type introduction struct {
	PublicKey     []byte        `json:"publicKey,omitempty"` // PEM
	Error         string        `json:"error,omitempty"`
	Errno         syscall.Errno `json:"errno,omitempty"`
	NeedsPassword bool          `json:"needsPassword,omitempty"`
	WrongPassword bool          `json:"wrongPassword,omitempty"`
}

// introduceError is what a signer says of a key that it could not read.
func introduceError(err error) introduction {
	a := introduction{Error: err.Error(), NeedsPassword: errors.Is(err, ErrPasswordNeeded), WrongPassword: errors.Is(err, ErrWrongPassword)}
	errors.As(err, &a.Errno)
	return a
}

// cause is what a caller may branch on.
func (a introduction) cause() error {
	switch {
	case a.NeedsPassword:
		return ErrPasswordNeeded
	case a.WrongPassword:
		return ErrWrongPassword
	case a.Errno != 0:
		return a.Errno
	}
	return nil
}

// keyError is an error of the signing process, with its cause.
type keyError struct {
	text  string
	cause error
}

func (e *keyError) Error() string { return e.text }

func (e *keyError) Unwrap() error { return e.cause }

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
	if errors.Is(err, ErrPasswordNeeded) {
		if code := introduce(socket, introduceError(err)); code != 0 {
			return code
		}
		if grant.Password, err = readMessage(socket); err != nil {
			return 1 // nobody answered
		}
		key, err = grant.key()
	}
	if err != nil {
		return introduce(socket, introduceError(err))
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
	password := g.Password
	if g.PasswordFile != "" {
		var err error
		if password, err = ReadPassword(g.PasswordFile); err != nil {
			return nil, err
		}
	}
	return LoadPrivateKey(g.KeyFile, password)
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
	ledger := ledger{grant: grant, left: grant.Signatures, subjects: map[string]bool{}}
	for {
		message, err := readMessage(socket)
		if err != nil {
			return 0
		}
		answer, err := ledger.sign(key, message)
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

// ledger is what is left of a grant.
type ledger struct {
	grant Grant
	left  int
	// subjects are the SHA-256 digests of subjects of signed statements that no
	// summary was signed for.
	subjects map[string]bool
}

func (l *ledger) sign(key *PrivateKey, message []byte) ([]byte, error) {
	payloadType, payload, err := readDSSE(message)
	if err == nil && !slices.Contains(l.grant.PayloadTypes, payloadType) {
		err = fmt.Errorf("payload type %q: this run signs %q", payloadType, l.grant.PayloadTypes)
	}
	statement := err == nil && payloadType == attestation.PayloadType && l.grant.Summaries
	if statement && l.summary(payload) {
		return key.Sign(context.Background(), message) // of a process that has nothing else to do
	}
	if l.left--; l.left < 0 {
		return nil, fmt.Errorf("all %d signatures of this run were made", l.grant.Signatures)
	}
	if err != nil {
		return nil, err
	}
	if statement {
		l.remember(payload)
	}
	return key.Sign(context.Background(), message)
}

// maxSummary bounds a summary, in bytes: it names one file and some steps.
const maxSummary = 256 << 10 // 256 KiB

// summary reports whether a statement is the first verification summary of one
// subject that a summary may be about, and takes it off the list. The statement
// is read as verifiers read it, so it has no second meaning.
func (l *ledger) summary(payload []byte) bool {
	if len(payload) > maxSummary {
		return false
	}
	s, err := attestation.ParseStatement(payload)
	if err != nil || s.PredicateType != attestation.TypeVerdict || len(s.Subject) != 1 {
		return false
	}
	digest := s.Subject[0].Digest["sha256"]
	if len(s.Subject[0].Digest) != 1 || !l.subjects[digest] {
		return false
	}
	l.subjects[digest] = false
	return true
}

// remember notes the subjects of a statement, each once in a run. A statement
// that cannot be read gives none, and so no summaries.
func (l *ledger) remember(payload []byte) {
	head, err := attestation.ReadHead(payload)
	if err != nil || head.PredicateType == attestation.TypeVerdict {
		return
	}
	for _, s := range head.Subject {
		digest := s.Digest["sha256"]
		if _, known := l.subjects[digest]; digest != "" && !known && len(l.subjects) < attestation.MaxSummaries {
			l.subjects[digest] = true
		}
	}
}

// readDSSE reads a message that DSSE makes: "DSSEv1", the length of the type,
// the type, the length of the payload, the payload, separated by spaces. Both
// lengths have to be exact, so that a message has one reading only.
func readDSSE(message []byte) (payloadType string, payload []byte, err error) {
	rest, ok := bytes.CutPrefix(message, []byte("DSSEv1 "))
	if !ok {
		return "", nil, errors.New("not a DSSE message")
	}
	kind, rest, err := cutCounted(rest)
	if err != nil || len(rest) == 0 || rest[0] != ' ' {
		return "", nil, errors.New("not a DSSE message: payload type")
	}
	if payload, rest, err = cutCounted(rest[1:]); err != nil || len(rest) != 0 {
		return "", nil, errors.New("not a DSSE message: payload")
	}
	return string(kind), payload, nil
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
