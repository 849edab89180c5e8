package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"pip-witness/internal/seal"
	"pip-witness/internal/timestamp"
)

// passwordFlags say where the password of a private key is. It is never an
// argument: those can be read by everybody on the machine.
type passwordFlags struct {
	env  string
	file string
}

func (f *passwordFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.env, "password-env", "", "the key's password is in environment variable `NAME`")
	flags.StringVar(&f.file, "password-file", "", "the key's password is in `FILE`")
}

func (f passwordFlags) given() bool { return f.env != "" || f.file != "" }

func (f passwordFlags) validate() error {
	if f.env != "" && f.file != "" {
		return usage("give one of them", "--password-env and --password-file exclude each other")
	}
	return nil
}

// fromEnv takes the password out of the environment, so that no process that is
// started from here has it; nil when it is not there.
func (f passwordFlags) fromEnv() ([]byte, error) {
	if f.env == "" {
		return nil, nil
	}
	password := os.Getenv(f.env)
	if password == "" {
		return nil, usage("set it to the password of the key", "--password-env: the environment variable %q is not set", f.env)
	}
	if err := os.Unsetenv(f.env); err != nil {
		return nil, fmt.Errorf("--password-env: %w", err)
	}
	return []byte(password), nil
}

// read is the password in this process, for keygen.
func (f passwordFlags) read() ([]byte, error) {
	if f.file == "" {
		return f.fromEnv()
	}
	password, err := seal.ReadPassword(f.file)
	if err != nil {
		return nil, badInput(err)
	}
	return password, nil
}

// keyFlags say what to sign with, and what stands beside a signature.
type keyFlags struct {
	key           string
	password      passwordFlags
	certificate   string
	intermediates string
	timestampURL  string
}

// register adds the flags; about is the help text of --key.
func (f *keyFlags) register(flags *pflag.FlagSet, about string) {
	flags.StringVar(&f.key, "key", "", about)
	f.password.register(flags)
	flags.StringVar(&f.certificate, "certificate", "", "certificate `FILE` of the key, to be put beside signatures")
	flags.StringVar(&f.intermediates, "intermediates", "", "certificates `FILE` between it and its root")
	flags.StringVar(&f.timestampURL, "timestamp-url", "", "have signatures time-stamped by the authority at `URL` (RFC 3161)")
}

// hide leaves the flags besides --key out of a help text.
func (f *keyFlags) hide(flags *pflag.FlagSet) {
	for _, name := range []string{"password-env", "password-file", "certificate", "intermediates", "timestamp-url"} {
		flags.Lookup(name).Hidden = true
	}
}

func (f keyFlags) validate() error {
	if err := f.password.validate(); err != nil {
		return err
	}
	if f.key == "" && (f.password.given() || f.certificate != "") {
		return usage("add --key FILE", "--password-env, --password-file and --certificate are about a --key")
	}
	if f.certificate == "" && f.intermediates != "" {
		return usage("add --certificate FILE", "--intermediates are above a --certificate")
	}
	if f.timestampURL == "" {
		return nil
	}
	if _, err := timestamp.New(f.timestampURL); err != nil {
		return usage("write for example --timestamp-url https://tsa.example/tsr", "--timestamp-url: %w", err)
	}
	return nil
}

// start starts the process that holds the key, with what else the grant allows.
func (f keyFlags) start(ctx context.Context, s streams, grant seal.Grant) (*seal.Starting, error) {
	grant.KeyFile, grant.PasswordFile = f.key, f.password.file
	var err error
	if grant.Password, err = f.password.fromEnv(); err != nil {
		return nil, err
	}
	starting, err := seal.Start(grant)
	if err != nil {
		return nil, err
	}
	if in, ok := s.in.(*os.File); ok && !f.password.given() && term.IsTerminal(int(in.Fd())) {
		starting.Prompt = func() ([]byte, error) { return prompt(ctx, s, in, f.key) }
	}
	return starting, nil
}

// prompt asks for a password on a terminal. An interrupt ends it and leaves the
// terminal as it was.
func prompt(ctx context.Context, s streams, terminal *os.File, key string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	fmt.Fprintf(s.err, "password of %s: ", key)
	type answer struct {
		password []byte
		err      error
	}
	typed := make(chan answer, 1)
	go func() {
		password, err := term.ReadPassword(fd)
		typed <- answer{password, err}
	}()
	var a answer
	select {
	case a = <-typed:
	case <-ctx.Done():
		a.err = errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
	fmt.Fprintln(s.err)
	if a.err != nil {
		return nil, fmt.Errorf("read the password: %w", a.err)
	}
	return a.password, nil
}

// wait waits for the key and puts beside it what the flags say.
func (f keyFlags) wait(starting *seal.Starting) (seal.Key, error) {
	signer, err := starting.Wait()
	switch {
	case errors.Is(err, seal.ErrPasswordNeeded):
		return nil, &exitError{code: exitUsage, err: err, hint: "give --password-env NAME or --password-file FILE"}
	case errors.Is(err, seal.ErrWrongPassword):
		return nil, &exitError{code: exitUsage, err: err, hint: "give the password that the key was made with"}
	case err != nil:
		return nil, badInput(err)
	}
	if f.certificate == "" && f.timestampURL == "" {
		return signer, nil
	}
	endorsed := &seal.Endorsed{Key: signer}
	if f.certificate != "" {
		if endorsed.Certificate, endorsed.Intermediates, err = seal.LoadCertificates(f.certificate, f.intermediates, signer.Public()); err != nil {
			return nil, badInput(err)
		}
	}
	if f.timestampURL != "" {
		authority, err := timestamp.New(f.timestampURL)
		if err != nil {
			return nil, badInput(err)
		}
		endorsed.Stamp = authority.Stamp
	}
	return endorsed, nil
}

// unstamped has signatures of evidence kept when their authority gives no time
// stamp: what was observed cannot be observed again. It returns what says, at the
// end, why there is none.
func unstamped(key seal.Key) func() error {
	endorsed, ok := key.(*seal.Endorsed)
	if !ok {
		return func() error { return nil }
	}
	endorsed.KeepUnstamped = true
	return func() error {
		if err := endorsed.Unstamped(); err != nil {
			return fmt.Errorf("signed and kept, but without time stamps: %w", err)
		}
		return nil
	}
}

// private are the files, by absolute path, that nothing inside a sandbox may read.
func (f keyFlags) private() ([]string, error) {
	var files []string
	for _, path := range []string{f.key, f.password.file} {
		if path == "" {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("find the key: %w", err)
		}
		files = append(files, absolute)
	}
	return files, nil
}
