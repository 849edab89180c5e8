package pipinstall

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits on one pickle stream.
const (
	maxPickleBytes   = 1 << 30  // 1 GiB read of one file
	maxPickleStack   = 1 << 20  // values on the simulated stack, and in the memo
	maxPickleString  = 4 << 10  // 4 KiB: longer strings are never a module name
	maxPickleLine    = 1 << 20  // 1 MiB: a text argument
	maxPickleText    = 64 << 20 // 64 MiB: all strings of one pickle; later ones are unknown
	maxPickleRefs    = 1_000    // distinct global references kept
	maxPickleStreams = 1_000    // pickles in one file
)

// pickleScan is what the opcodes of one or more pickles do. Nothing is built
// or imported: strings are followed through stack and memo, so that the names
// given to STACK_GLOBAL are known, and all else is opaque.
type pickleScan struct {
	r      *bufio.Reader
	read   int64
	ops    map[string]bool
	refs   []string
	stack  []pickleValue
	marks  []int
	memo   map[uint64]pickleValue
	broken bool // the stack did not hold what an opcode needs
	kept   uint64
}

// pickleValue is a string that may become a name, or anything else.
type pickleValue struct {
	text string
	str  bool
}

// scanPickle reads all pickles at the start of r. The error says where the
// stream is broken; what was read before it counts.
func scanPickle(r io.Reader) (*pickleScan, error) {
	s := &pickleScan{r: bufio.NewReaderSize(io.LimitReader(r, maxPickleBytes), 64<<10), ops: map[string]bool{}}
	for n := 0; ; n++ {
		s.stack, s.marks, s.memo, s.kept = nil, nil, map[uint64]pickleValue{}, 0
		if err := s.one(); err != nil {
			return s, fmt.Errorf("pickle %d at byte %d: %w", n+1, s.read, err)
		}
		head, err := s.r.Peek(2)
		switch {
		case errors.Is(err, io.EOF) && len(head) == 0:
			return s, nil
		case len(head) < 2 || head[0] != 0x80 || head[1] > 5:
			return s, fmt.Errorf("data that is no pickle follows byte %d", s.read)
		case n+1 >= maxPickleStreams:
			return s, fmt.Errorf("more than %d pickles in one file", maxPickleStreams)
		}
	}
}

// one reads opcodes up to STOP.
func (s *pickleScan) one() error {
	for {
		op, err := s.byte()
		if err != nil {
			return errors.New("ends without STOP")
		}
		if op == '.' {
			return nil
		}
		if err := s.opcode(op); err != nil {
			return err
		}
		if len(s.stack) > maxPickleStack || len(s.memo) > maxPickleStack || len(s.marks) > maxPickleStack {
			return fmt.Errorf("more than %d values", maxPickleStack)
		}
	}
}

func (s *pickleScan) byte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.read++
	}
	return b, err
}

// uint reads a little-endian number of n bytes.
func (s *pickleScan) uint(n int) (uint64, error) {
	var buf [8]byte
	if _, err := io.ReadFull(s.r, buf[:n]); err != nil {
		return 0, errors.New("argument cut off")
	}
	s.read += int64(n)
	return binary.LittleEndian.Uint64(buf[:]), nil
}

// name reports whether a string of n bytes can be a name and is kept.
func (s *pickleScan) name(n uint64) bool {
	if n > maxPickleString || s.kept+n > maxPickleText {
		return false
	}
	s.kept += n
	return true
}

// text reads n bytes, and keeps them when they can be a name.
func (s *pickleScan) text(n uint64, keep bool) (string, error) {
	if keep {
		buf := make([]byte, n)
		if _, err := io.ReadFull(s.r, buf); err != nil {
			return "", errors.New("string cut off")
		}
		s.read += int64(n)
		return string(buf), nil
	}
	if n > maxPickleBytes {
		return "", fmt.Errorf("string of %d bytes", n)
	}
	skipped, err := io.CopyN(io.Discard, s.r, int64(n))
	s.read += skipped
	if err != nil {
		return "", errors.New("string cut off")
	}
	return "", nil
}

// lineArg reads a text argument that ends with a newline.
func (s *pickleScan) lineArg() (string, error) {
	var b strings.Builder
	for b.Len() <= maxPickleLine {
		c, err := s.byte()
		if err != nil {
			return "", errors.New("line cut off")
		}
		if c == '\n' {
			return b.String(), nil
		}
		b.WriteByte(c)
	}
	return "", fmt.Errorf("line longer than %d bytes", maxPickleLine)
}

func (s *pickleScan) push(v pickleValue) { s.stack = append(s.stack, v) }

func (s *pickleScan) opaque() { s.push(pickleValue{}) }

func (s *pickleScan) pop() pickleValue {
	floor := 0
	if len(s.marks) > 0 {
		floor = s.marks[len(s.marks)-1]
	}
	if len(s.stack) <= floor {
		s.broken = true
		return pickleValue{}
	}
	v := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	return v
}

// popMark drops everything down to the last mark.
func (s *pickleScan) popMark() {
	if len(s.marks) == 0 {
		s.broken = true
		s.stack = nil
		return
	}
	s.stack = s.stack[:s.marks[len(s.marks)-1]]
	s.marks = s.marks[:len(s.marks)-1]
}

func (s *pickleScan) global(module, name string) {
	if ref := clip(module + "." + name); len(s.refs) < maxPickleRefs && !slices.Contains(s.refs, ref) {
		s.refs = append(s.refs, ref)
	}
	s.opaque()
}

// opcode carries out one opcode of protocols 0 to 5 (Python's pickletools).
func (s *pickleScan) opcode(op byte) error {
	switch op {
	case '(': // MARK
		s.marks = append(s.marks, len(s.stack))
	case '0': // POP; at a mark it takes the mark
		if n := len(s.marks); n > 0 && s.marks[n-1] == len(s.stack) {
			s.marks = s.marks[:n-1]
			return nil
		}
		s.pop()
	case '1': // POP_MARK
		s.popMark()
	case '2': // DUP
		v := s.pop()
		s.push(v)
		s.push(v)
	case 'N', '}', ']', ')', 0x88, 0x89, 0x8f, 0x97: // NONE, empty containers, NEWTRUE, NEWFALSE, NEXT_BUFFER
		s.opaque()
	case 'a', 'b': // APPEND, BUILD
		if op == 'b' {
			s.ops["BUILD"] = true
		}
		s.pop()
	case 's': // SETITEM
		s.pop()
		s.pop()
	case 'e', 'u', 0x90: // APPENDS, SETITEMS, ADDITEMS
		s.popMark()
	case 'd', 'l', 't', 0x91: // DICT, LIST, TUPLE, FROZENSET
		s.popMark()
		s.opaque()
	case 0x85, 0x86, 0x87: // TUPLE1, 2, 3
		for range op - 0x84 {
			s.pop()
		}
		s.opaque()
	case 0x98: // READONLY_BUFFER
	case 0x80: // PROTO
		_, err := s.uint(1)
		return err
	case 0x95: // FRAME
		_, err := s.uint(8)
		return err
	case 'Q': // BINPERSID
		s.ops["BINPERSID"] = true
		s.pop()
		s.opaque()
	default:
		if handled, err := s.calls(op); handled {
			return err
		}
		if handled, err := s.memos(op); handled {
			return err
		}
		return s.literal(op)
	}
	return nil
}

// calls carries out what imports or calls something.
func (s *pickleScan) calls(op byte) (bool, error) {
	switch op {
	case 'c', 'i': // GLOBAL, INST
		module, err := s.lineArg()
		if err != nil {
			return true, err
		}
		name, err := s.lineArg()
		if err != nil {
			return true, err
		}
		if op == 'c' {
			s.ops["GLOBAL"] = true
		} else {
			s.ops["INST"] = true
			s.popMark()
		}
		s.global(module, name)
	case 0x93: // STACK_GLOBAL
		s.ops["STACK_GLOBAL"] = true
		name, module := s.pop(), s.pop()
		if !name.str || !module.str {
			s.broken = true
			name.text, module.text = "?", "?"
		}
		s.global(module.text, name.text)
	case 'R', 0x81: // REDUCE, NEWOBJ
		s.ops[map[byte]string{'R': "REDUCE", 0x81: "NEWOBJ"}[op]] = true
		s.pop()
		s.pop()
		s.opaque()
	case 0x92: // NEWOBJ_EX
		s.ops["NEWOBJ_EX"] = true
		s.pop()
		s.pop()
		s.pop()
		s.opaque()
	case 'o': // OBJ
		s.ops["OBJ"] = true
		s.popMark()
		s.opaque()
	case 0x82, 0x83, 0x84: // EXT1, EXT2, EXT4: a global from the extension registry
		code, err := s.uint(1 << (op - 0x82))
		s.ops["EXT"] = true
		s.global("copyreg.extension", fmt.Sprint(code))
		return true, err
	default:
		return false, nil
	}
	return true, nil
}

// memos carries out what stores and fetches.
func (s *pickleScan) memos(op byte) (bool, error) {
	var index uint64
	var err error
	switch op {
	case 'p', 'g': // PUT, GET
		var text string
		if text, err = s.lineArg(); err == nil {
			_, err = fmt.Sscan(text, &index)
		}
	case 'q', 'h': // BINPUT, BINGET
		index, err = s.uint(1)
	case 'r', 'j': // LONG_BINPUT, LONG_BINGET
		index, err = s.uint(4)
	case 0x94: // MEMOIZE
		index = uint64(len(s.memo))
	default:
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("memo index: %w", err)
	}
	if op == 'g' || op == 'h' || op == 'j' {
		v, ok := s.memo[index]
		s.broken = s.broken || !ok
		s.push(v)
		return true, nil
	}
	v := s.pop()
	s.push(v)
	s.memo[index] = v
	return true, nil
}

// literal carries out what pushes numbers, strings and bytes.
func (s *pickleScan) literal(op byte) error {
	skip := map[byte]int{'J': 4, 'K': 1, 'M': 2, 'G': 8}
	sized := map[byte]int{
		'T': 4, 'U': 1, 'X': 4, 'B': 4, 'C': 1, 0x8c: 1, 0x8d: 8, 0x8e: 8, 0x96: 8, 0x8a: 1, 0x8b: 4,
	}
	switch {
	case skip[op] > 0:
		_, err := s.uint(skip[op])
		s.opaque()
		return err
	case sized[op] > 0:
		n, err := s.uint(sized[op])
		if err != nil {
			return err
		}
		str := (op == 'T' || op == 'U' || op == 'X' || op == 0x8c || op == 0x8d) && s.name(n)
		text, err := s.text(n, str)
		s.push(pickleValue{text: text, str: str})
		return err
	}
	switch op {
	case 'F', 'I', 'L': // FLOAT, INT, LONG
		_, err := s.lineArg()
		s.opaque()
		return err
	case 'P': // PERSID
		s.ops["PERSID"] = true
		_, err := s.lineArg()
		s.opaque()
		return err
	case 'S', 'V': // STRING, UNICODE
		text, err := s.lineArg()
		if op == 'S' {
			text = strings.Trim(text, `'"`)
		}
		if !s.name(uint64(len(text))) {
			s.opaque()
			return err
		}
		s.push(pickleValue{text: text, str: true})
		return err
	}
	return fmt.Errorf("byte 0x%02x is no opcode", op)
}

// harmlessGlobal reports whether a global is one that builds plain data.
func harmlessGlobal(ref string) bool {
	switch ref {
	case "builtins.set", "builtins.frozenset", "builtins.list", "builtins.dict", "builtins.tuple", "builtins.int", "builtins.float",
		"builtins.complex", "builtins.bool", "builtins.str", "builtins.bytes", "builtins.bytearray", "builtins.object", "builtins.slice",
		"builtins.range", "__builtin__.set", "__builtin__.frozenset", "__builtin__.list", "__builtin__.dict", "__builtin__.object",
		"__builtin__.unicode", "__builtin__.long", "__builtin__.str", "__builtin__.bytearray", "_codecs.encode",
		"copy_reg._reconstructor", "copyreg._reconstructor", "collections.OrderedDict", "collections.defaultdict",
		"collections.deque", "collections.Counter", "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta",
		"datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "array._array_reconstructor",
		"numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
		"numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy.core.numeric._frombuffer",
		"numpy._core.numeric._frombuffer", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
		"torch.FloatStorage", "torch.LongStorage", "torch.HalfStorage", "torch.BFloat16Storage", "torch.DoubleStorage",
		"torch.IntStorage", "torch.BoolStorage", "torch.ByteStorage":
		return true
	}
	return false
}

// dangerousGlobals are the imported names that run code or reach out, sorted.
// Python 2's names of modules are those of Python 3.
func (s *pickleScan) dangerousGlobals() []string {
	var out []string
	for _, ref := range s.refs {
		if dangerousGlobal(strings.Replace(ref, "__builtin__.", "builtins.", 1)) {
			out = append(out, ref)
		}
	}
	slices.Sort(out)
	return out
}

// dangerousOps are the opcodes that import or call.
func (s *pickleScan) dangerousOps() []string {
	var out []string
	for _, op := range []string{"REDUCE", "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT", "PERSID", "BINPERSID"} {
		if s.ops[op] {
			out = append(out, op)
		}
	}
	return out
}

// safe reports whether every global that was imported is harmless. A stream
// whose stack could not be followed is not.
func (s *pickleScan) safe() bool {
	return !s.broken && !s.ops["EXT"] && len(s.refs) < maxPickleRefs && !slices.ContainsFunc(s.refs, func(r string) bool { return !harmlessGlobal(r) })
}
