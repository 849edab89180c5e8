package egress

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"pip-witness/evidence"
)

// newHash returns the algorithm of a name that pip knows, else nil.
func newHash(name string) hash.Hash {
	switch name {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	case "sha384":
		return sha512.New384()
	case "sha224":
		return sha256.New224()
	case "sha1":
		return sha1.New()
	case "md5":
		return md5.New()
	}
	return nil
}

// hashName says whether newHash knows the name.
func hashName(name string) bool {
	return slices.Contains([]string{"sha256", "sha512", "sha384", "sha224", "sha1", "md5"}, name)
}

// request is what the sandbox asked for: a distribution file or the core
// metadata that an index offers beside it (PEP 658).
type request struct {
	entry    *entry
	filename string
	url      *url.URL
	expected map[string]string // what the index announced
	size     int64             // announced; -1 when not
	limit    int64
	metadata bool
}

// wanted finds what a number and a file name stand for.
func (g *Gateway) wanted(n int, name string) *request {
	e := g.files.get(n)
	switch {
	case e == nil:
		return nil
	case name == e.link.filename:
		return &request{entry: e, filename: name, url: e.link.url, expected: e.link.hashes, size: e.link.size, limit: maxFileSize}
	case e.link.metadata && name == e.link.filename+".metadata":
		return &request{
			entry: e, filename: name, url: metadataURL(e.link.url), expected: e.link.metadataHashes,
			size: -1, limit: maxMetadataSize, metadata: true,
		}
	}
	return nil
}

// metadataURL is where the core metadata of a file lies.
func metadataURL(u *url.URL) *url.URL {
	out := *u
	out.Path += ".metadata"
	if out.RawPath != "" {
		out.RawPath += ".metadata"
	}
	return &out
}

// serveFile answers with a file, or records why it cannot.
func (g *Gateway) serveFile(w http.ResponseWriter, r *http.Request, n int, name string) {
	q := g.wanted(n, name)
	if q == nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Accept-Ranges", "none") // a part of a file has no digest to compare
	if q.entry.bad.Load() {
		http.Error(w, string(DigestMismatch), http.StatusBadGateway)
		return
	}
	if r.Method == http.MethodHead && q.size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(q.size, 10))
		return
	}
	s := &stream{w: w, request: q}
	f := g.open(r.Context(), s, r.Method)
	if f == nil {
		defer s.body.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		if s.length >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(s.length, 10))
		}
		if r.Method == http.MethodHead {
			return
		}
		f = s.copy(g)
	}
	if f == nil || f == clientGone || r.Context().Err() != nil { // the installer, or the run, ended it
		return
	}
	g.records.problem(Problem{
		Kind: f.kind, Index: q.entry.index, URL: plainURL(q.url), Filename: q.filename, Message: f.message, Time: g.now(),
	})
	s.refuse(f)
}

// open finds the bytes: in the cache, on this machine, or at the index.
func (g *Gateway) open(ctx context.Context, s *stream, method string) *failure {
	q := s.request
	if file, length, ok := g.cache.open(q.expected["sha256"]); ok {
		s.body, s.length = file, length
		return nil
	}
	if q.url.Scheme == "file" {
		file, err := os.Open(q.url.Path)
		if err != nil {
			return localFailure(err)
		}
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			file.Close()
			return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: "not a regular file"}
		}
		s.body, s.length = file, info.Size()
		return nil
	}
	answer, f := g.upstream.get(ctx, method, q.url, "")
	if f != nil {
		return f
	}
	s.body, s.length = answer.Body, answer.ContentLength
	if s.length > q.limit || q.size >= 0 && s.length >= 0 && q.size != s.length && len(q.expected) == 0 {
		answer.Body.Close()
		return &failure{
			kind: UpstreamError, status: http.StatusBadGateway,
			message: fmt.Sprintf("the answer has %d bytes, announced are %d, the limit is %d", s.length, q.size, q.limit),
		}
	}
	if s.length < 0 {
		s.length = q.size
	}
	if method == http.MethodGet {
		s.keep = g.cache.create(q.expected["sha256"])
	}
	return nil
}

// stream is one file on its way to the sandbox. The last piece is held back
// until the digests are compared, so that wrong bytes never look complete.
type stream struct {
	w       http.ResponseWriter
	request *request
	body    io.ReadCloser
	length  int64 // -1 when not known
	keep    *keeper
	sent    int64
}

// clientGone is the failure that the installer caused itself: no problem of the
// index, and no one is left to be told.
var clientGone = &failure{message: "the client closed the connection"}

// pieceSize is how much of a file is read at a time, and at most held back.
const pieceSize = 128 << 10 // 128 KiB

// copy sends the file, compares and records it.
func (s *stream) copy(g *Gateway) *failure {
	defer s.keep.discard()
	hashes := map[string]hash.Hash{"sha256": sha256.New(), "sha1": sha1.New()}
	for name := range s.request.expected {
		if h := newHash(name); h != nil && hashes[name] == nil {
			hashes[name] = h
		}
	}
	size, held, f := s.pump(g, hashes)
	if f != nil {
		return f
	}
	actual := make(evidence.DigestSet)
	for name, h := range hashes {
		actual[name] = hex.EncodeToString(h.Sum(nil))
	}
	for _, name := range slices.Sorted(maps.Keys(s.request.expected)) {
		if want := s.request.expected[name]; actual[name] != "" && actual[name] != want {
			s.request.entry.bad.Store(true)
			return &failure{
				kind: DigestMismatch, status: http.StatusBadGateway,
				message: fmt.Sprintf("%s is %s, the index announced %s (%d bytes)", name, actual[name], cut(want), size),
			}
		}
	}
	if s.length >= 0 && size != s.length {
		return &failure{kind: UpstreamError, status: http.StatusBadGateway, message: fmt.Sprintf("%d bytes came, %d were announced", size, s.length)}
	}
	delete(actual, "md5") // compared where an index has nothing better, never attested
	// Recorded before the last piece leaves: an installer that acts on the file
	// must find it in the records.
	g.records.download(s.download(g, actual, size))
	s.keep.commit()
	s.write(held)
	return nil
}

// pump reads the body to its end and sends all but the last piece.
func (s *stream) pump(g *Gateway, hashes map[string]hash.Hash) (size int64, held []byte, f *failure) {
	buffers := [2][]byte{make([]byte, pieceSize), make([]byte, pieceSize)}
	for turn := 0; ; turn = 1 - turn {
		n, err := io.ReadFull(s.body, buffers[turn])
		if n > 0 {
			size += int64(n)
			if size > s.request.limit {
				return size, nil, &failure{kind: UpstreamError, status: http.StatusBadGateway, message: fmt.Sprintf("larger than %d bytes", s.request.limit)}
			}
			if s.length >= 0 && size > s.length {
				return size, nil, &failure{kind: UpstreamError, status: http.StatusBadGateway, message: fmt.Sprintf("more than the announced %d bytes", s.length)}
			}
			if !s.write(held) {
				return size, nil, clientGone
			}
			held = buffers[turn][:n]
			for _, h := range hashes {
				h.Write(held)
			}
			s.keep.write(held)
		}
		switch {
		case err == nil:
		case err == io.EOF, err == io.ErrUnexpectedEOF: // ReadFull's own: the body ended
			return size, held, nil
		default:
			return size, nil, g.upstream.failure(err)
		}
	}
}

func (s *stream) write(piece []byte) bool {
	if len(piece) == 0 {
		return true // an empty write would send the header
	}
	n, err := s.w.Write(piece)
	s.sent += int64(n)
	return err == nil
}

// download is the record of a served file.
func (s *stream) download(g *Gateway, actual evidence.DigestSet, size int64) evidence.Download {
	q, l := s.request, &s.request.entry.link
	inside := g.base + q.entry.path()
	if q.metadata {
		inside += ".metadata"
	}
	return evidence.Download{
		Filename:       q.filename,
		URL:            plainURL(q.url),
		GatewayURL:     inside,
		Index:          q.entry.index,
		Digests:        actual,
		Size:           size,
		Expected:       digests(q.expected),
		UploadTime:     l.uploadTime,
		Yanked:         l.yankedText(),
		RequiresPython: l.requiresPython,
		Status:         q.entry.status,
		Provenance:     l.provenance,
		ServedAt:       g.now(),
		Metadata:       q.metadata,
	}
}

// refuse tells the inside of a failure: by a status, or by cutting the
// connection when a part of the file has gone.
func (s *stream) refuse(f *failure) {
	if s.sent == 0 {
		s.w.Header().Del("Content-Length")
		http.Error(s.w, string(f.kind), f.status)
		return
	}
	// The server speaks HTTP/1 only, where this fails for a connection that is
	// gone already.
	if connection, _, err := http.NewResponseController(s.w).Hijack(); err == nil {
		connection.Close()
	}
}

// hexDigest says whether s is a SHA-256 as the cache names files.
func hexDigest(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
