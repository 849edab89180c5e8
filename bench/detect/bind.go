package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/policy"
	"pip-witness/rules"
)

// signedPolicy compiles and signs a source with a key.
func signedPolicy(ctx context.Context, source []byte, key *seal.PrivateKey) ([]byte, error) {
	now := time.Now().UTC()
	compiled, err := policy.Compile(ctx, source, policy.Options{
		Functionaries: []attestation.PublicKey{key.Public()}, Expires: now.Add(30 * 24 * time.Hour), Modules: rules.FS, Now: now,
	})
	if err != nil {
		return nil, fmt.Errorf("compile a policy: %w", err)
	}
	payload, err := compiled.Marshal()
	if err != nil {
		return nil, fmt.Errorf("compile a policy: %w", err)
	}
	envelope, err := policy.Sign(ctx, payload, key)
	if err != nil {
		return nil, fmt.Errorf("sign a policy: %w", err)
	}
	return envelope.Marshal()
}

// bind makes a policy of every module of the tree, with a key of its own, and lets
// checks judge by it.
func (s *settings) bind(ctx context.Context, dir string) error {
	source, err := s.bindAll(policy.Builtin())
	if err != nil {
		return err
	}
	key, err := seal.Ephemeral()
	if err != nil {
		return err
	}
	signed, err := signedPolicy(ctx, source, key)
	if err != nil {
		return err
	}
	private, err := key.PEM()
	if err != nil {
		return err
	}
	names := map[string][]byte{"policy.json": signed, "key.pem": private, "key.pub": key.Public().PEM()}
	for name, content := range names {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	s.policy = []string{
		"--policy", filepath.Join(dir, "policy.json"), "--public-key", filepath.Join(dir, "key.pub"), "--key", filepath.Join(dir, "key.pem"),
	}
	sum, hashed := rulesDigest()
	s.binaryDigest += "+" + sum // a result stands for these rules, too
	return errors.Join(err, hashed)
}

// rulesDigest is a digest of every file of the rules.
func rulesDigest() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(rules.FS, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(rules.FS, name)
		fmt.Fprintf(h, "%s %d\n%s", name, len(content), content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
