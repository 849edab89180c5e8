package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxBundleSize bounds one file of certificates.
const maxBundleSize = 16 << 20 // 16 MiB

// newTrust says which certificates are accepted: those of pip's own option, else
// of the variables that its network library reads, else the system's.
func newTrust(c Config) (*tls.Config, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	named := c.Cert
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if named == "" {
			named = variable(c.Environ, name)
		}
	}
	if named != "" {
		pool := x509.NewCertPool()
		if err := addCertificates(pool, resolve(c, named)); err != nil {
			return nil, fmt.Errorf("read certificate authorities %q: %w", named, err)
		}
		trust.RootCAs = pool
	} else {
		trust.RootCAs = defaultPool(c)
	}
	if c.ClientCert != "" {
		path := resolve(c, c.ClientCert)
		pair, err := tls.LoadX509KeyPair(path, path)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %q: %w", c.ClientCert, err)
		}
		trust.Certificates = []tls.Certificate{pair}
	}
	return trust, nil
}

// defaultPool is what OpenSSL's variables name, where that exists, or the
// system's authorities, and those that come with pip.
func defaultPool(c Config) *x509.CertPool {
	pool := x509.NewCertPool()
	found := false
	for path := range strings.SplitSeq(variable(c.Environ, "SSL_CERT_FILE")+":"+variable(c.Environ, "SSL_CERT_DIR"), ":") {
		if path != "" && addCertificates(pool, resolve(c, path)) == nil {
			found = true
		}
	}
	if found {
		return pool
	}
	if system, err := x509.SystemCertPool(); err == nil {
		pool = system
	}
	if c.ExtraBundle != "" {
		// Missing where a distribution took pip's bundle out: the system's remain.
		_ = addCertificates(pool, resolve(c, c.ExtraBundle))
	}
	return pool
}

// errNoCertificates is a bundle without a certificate.
var errNoCertificates = errors.New("no PEM certificate in it")

// addCertificates adds a bundle file, or every file of a directory.
func addCertificates(pool *x509.CertPool, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	files := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		files = nil
		for _, e := range entries {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	found := false
	for _, name := range files {
		pem, err := readBounded(name, maxBundleSize)
		if err != nil && !info.IsDir() {
			return err
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return errNoCertificates
	}
	return nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %q: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %q: more than %d bytes", path, limit)
	}
	return data, nil
}

// resolve makes a configured path absolute.
func resolve(c Config, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(variable(c.Environ, "HOME"), rest)
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.WorkDir, path)
}

// isTLS says whether a connection failed over its certificate or protocol.
func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &record) || errors.As(err, &alert)
}
