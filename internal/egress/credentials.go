package egress

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// login is a user name and password for one place.
type login struct {
	scheme string
	at     origin
	path   string // prefix of the paths it is for, ends in "/"
	user   *url.Userinfo
}

// credentials knows which request gets which user name and password: those of
// its own URL, those of the configured index on the same origin, or netrc's.
type credentials struct {
	logins []login
	netrc  []machine
}

// maxNetrcSize bounds a netrc file.
const maxNetrcSize = 1 << 20 // 1 MiB

func newCredentials(c Config, sources []*source) (*credentials, error) {
	known := new(credentials)
	for _, s := range sources {
		if s.url.User != nil {
			path := strings.TrimRight(s.url.Path, "/") + "/"
			known.logins = append(known.logins, login{s.url.Scheme, originOf(s.url), path, s.url.User})
		}
	}
	paths := []string{variable(c.Environ, "NETRC")}
	if home := variable(c.Environ, "HOME"); paths[0] == "" && home != "" {
		paths = []string{filepath.Join(home, ".netrc"), filepath.Join(home, "_netrc")}
	}
	for _, path := range paths {
		if path == "" {
			continue
		}
		data, err := readBounded(path, maxNetrcSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read netrc %q: %w", path, err)
		}
		known.netrc = parseNetrc(string(data))
		break
	}
	return known, nil
}

// apply sets the request's credentials and takes them out of its URL.
func (c *credentials) apply(r *http.Request) {
	user := r.URL.User
	if user == nil {
		user = c.find(r.URL)
	}
	if r.URL.User != nil {
		plain := *r.URL
		plain.User = nil
		r.URL = &plain
	}
	if user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
}

// find returns the user of the configured location with the longest path that
// is a prefix, of any on the same origin (files may lie elsewhere on it), or
// netrc's. Scheme, host and port must be the same: what was meant for HTTPS is
// not sent in the clear.
func (c *credentials) find(u *url.URL) *url.Userinfo {
	var best *login
	at := originOf(u)
	rank := func(l *login) int {
		if strings.HasPrefix(u.Path+"/", l.path) {
			return len(l.path)
		}
		return 0
	}
	for i := range c.logins {
		l := &c.logins[i]
		if l.scheme == u.Scheme && l.at == at && (best == nil || rank(l) > rank(best)) {
			best = l
		}
	}
	if best != nil {
		return best.user
	}
	for _, m := range c.netrc {
		if m.host == "" || m.host == at.host {
			return url.UserPassword(m.login, m.password)
		}
	}
	return nil
}

// secrets are the texts that must not appear in a message.
func (c *credentials) secrets() []string {
	var all []string
	for _, l := range c.logins {
		all = append(all, userTexts(l.user)...)
	}
	for _, m := range c.netrc {
		all = append(all, m.password)
	}
	return all
}

// userTexts is the password, or the user name when that stands alone (a token).
func userTexts(user *url.Userinfo) []string {
	if password, ok := user.Password(); ok && password != "" {
		return []string{password}
	}
	return []string{user.Username()}
}

// userSecrets are the texts of a URL's user information.
func userSecrets(raw string) []string {
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		return userTexts(u.User)
	}
	return nil
}

// machine is one entry of a netrc file; an empty host is the default entry.
type machine struct{ host, login, password string }

// parseNetrc reads the entries of a netrc file (ftp(1)), the default one last.
// Macros are skipped. An entry without a password is left out.
func parseNetrc(text string) []machine {
	var all []machine
	var fallback, current *machine
	end := func() {
		switch {
		case current == nil || current.password == "":
		case current.host == "":
			if fallback == nil {
				fallback = current
			}
		default:
			all = append(all, *current)
		}
		current = nil
	}
	tokens := netrcTokens(text)
	for i := 0; i < len(tokens); i++ {
		value := func() string {
			if i+1 >= len(tokens) {
				return ""
			}
			i++
			return tokens[i]
		}
		switch tokens[i] {
		case "machine":
			end()
			current = &machine{host: strings.ToLower(value())}
			if current.host == "" {
				current = nil
			}
		case "default":
			end()
			current = new(machine)
		case "login", "user":
			if v := value(); current != nil {
				current.login = v
			}
		case "password":
			if v := value(); current != nil {
				current.password = v
			}
		case "account":
			value()
		}
	}
	end()
	if fallback != nil {
		all = append(all, *fallback)
	}
	return all
}

// netrcTokens splits a netrc file into words. A word may be in double quotes, a
// backslash quotes one character, "#" at the start of a word begins a comment, a
// macro (macdef) goes to the next empty line.
func netrcTokens(text string) []string {
	var tokens []string
	macro := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if macro {
			macro = strings.TrimSpace(line) != ""
			continue
		}
		for line = strings.TrimLeft(line, " \t"); line != "" && line[0] != '#'; line = strings.TrimLeft(line, " \t") {
			var word string
			word, line = netrcWord(line)
			if word == "macdef" {
				macro = true
				break
			}
			tokens = append(tokens, word)
		}
	}
	return tokens
}

func netrcWord(s string) (word, rest string) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"' && (quoted || i == 0):
			if quoted {
				return b.String(), s[i+1:]
			}
			quoted = true
		case !quoted && (s[i] == ' ' || s[i] == '\t'):
			return b.String(), s[i:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
