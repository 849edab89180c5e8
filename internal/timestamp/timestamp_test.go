package timestamp_test

import (
	"context"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rfc3161 "github.com/digitorus/timestamp"

	"pip-witness/attestation"
	"pip-witness/internal/testca"
	"pip-witness/internal/timestamp"
)

func newTSA(t *testing.T) (*testca.CA, *testca.TSA) {
	t.Helper()
	root, err := testca.New("time")
	if err != nil {
		t.Fatal(err)
	}
	tsa, err := root.NewTSA(time.Now().UTC().Truncate(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return root, tsa
}

func serve(t *testing.T, h http.Handler) *timestamp.Authority {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	a, err := timestamp.New(strings.Replace(server.URL, "http://", "http://user:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStamp(t *testing.T) {
	root, tsa := newTSA(t)
	var calls atomic.Int32
	authority := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 { // once is no reason to give up
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		tsa.ServeHTTP(w, r)
	}))
	token, err := authority.Stamp(t.Context(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := attestation.ParseAuthority("tsa", root.PEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := attestation.VerifyTimestamp(token, []byte("signature"), []attestation.Authority{trusted})
	if err != nil || !stamp.Time.Equal(tsa.Time) {
		t.Errorf("%+v, %v", stamp, err)
	}
}

func TestStampRefuses(t *testing.T) {
	answer := func(change func(*rfc3161.Timestamp)) http.Handler {
		_, tsa := newTSA(t)
		tsa.Change = change
		return tsa
	}
	text := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if _, err := w.Write([]byte(body)); err != nil {
				return // the client has read enough
			}
		})
	}
	for name, tt := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"another nonce":       {answer(func(s *rfc3161.Timestamp) { s.Nonce = big.NewInt(1) }), "its nonce is not ours"},
		"no nonce":            {answer(func(s *rfc3161.Timestamp) { s.Nonce = nil }), "its nonce is not ours"},
		"another message":     {answer(func(s *rfc3161.Timestamp) { s.HashedMessage = make([]byte, 32) }), "it is of another message"},
		"without certificate": {answer(func(s *rfc3161.Timestamp) { s.AddTSACertificate = false }), "neither in the token nor given"},
		"not found":           {text(http.StatusNotFound, ""), "HTTP status 404"},
		"a page":              {text(http.StatusOK, "<html>"), "read time-stamp response"},
		"endless":             {text(http.StatusOK, strings.Repeat("x", 2<<20)), "an answer of more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, tt.handler).Stamp(t.Context(), []byte("signature"))
			var authority *timestamp.Error
			if !errors.As(err, &authority) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q and no password", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serve(t, text(http.StatusOK, "")).Stamp(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
	for _, bad := range []string{"", "ftp://x.example", "tsa.example", "http://", "://"} {
		if _, err := timestamp.New(bad); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}
