package cli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"pip-witness/internal/testca"
)

// authorityCommand KEY.pub makes ca.pem, sub.pem and leaf.pem, a certificate of the
// key below them, old.pem, one that expired an hour ago, and tsa.pem; and starts a
// time-stamp authority on loopback, $TSA, whose clock is two hours late.
func authorityCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority KEY.pub")
	}
	block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	ts.Check(err)
	root, err := testca.New("test root")
	ts.Check(err)
	sub, err := root.Sub("test sub")
	ts.Check(err)
	name := func(c *x509.Certificate) { c.EmailAddresses = []string{"builder@example.org"} }
	leaf, err := sub.Issue("builder", public, name)
	ts.Check(err)
	now := time.Now()
	old, err := sub.Issue("builder", public, name, testca.Valid(now.Add(-3*time.Hour), now.Add(-time.Hour)))
	ts.Check(err)
	timeRoot, err := testca.New("test time")
	ts.Check(err)
	tsa, err := timeRoot.NewTSA(now.Add(-2 * time.Minute))
	ts.Check(err)
	late := *tsa
	late.Time = now.Add(-2 * time.Hour)
	mux := http.NewServeMux()
	mux.Handle("/now", tsa)
	mux.Handle("/late", &late)
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv("TSA", server.URL)
	ts.Check(errors.Join(
		os.WriteFile(ts.MkAbs("ca.pem"), root.PEM(), 0o600), os.WriteFile(ts.MkAbs("sub.pem"), sub.PEM(), 0o600),
		os.WriteFile(ts.MkAbs("leaf.pem"), testca.PEM(leaf), 0o600), os.WriteFile(ts.MkAbs("old.pem"), testca.PEM(old), 0o600),
		os.WriteFile(ts.MkAbs("tsa.pem"), timeRoot.PEM(), 0o600),
	))
}
