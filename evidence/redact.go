package evidence

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Redacted stands where a value was removed before signing.
const Redacted = "<redacted>"

// minSecret is the shortest literal secret that is replaced in a text, in
// bytes: shorter ones would replace parts of ordinary words.
const minSecret = 4

// Compiled once and never assigned again; a compiled expression is immutable.
var (
	// A URL in running text: it ends at a blank, a quote or an angle bracket.
	urlInText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.\-]*://[^\s'"<>` + "`" + `]+`)
	// An authorization header, in a text of any kind.
	authorizationInText = regexp.MustCompile(`(?i)(\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer|token|digest|negotiate)\s+)?)([^\s"'<][^\s"']*)(\s+<redacted>)?`)
	// A secret-bearing option with its value, within one text.
	optionInText = regexp.MustCompile(`(?i)((?:^|[\s"'])--?[a-z0-9_\-]*(?:password|passwd|passphrase|token|secret|api-?key)(?:=|\s+))([^\s"'<\-][^\s"']*)`)
	// A header with a secret value: the whole of an argument.
	secretHeader = regexp.MustCompile(`(?is)^((?:-H|--header=)?\s*([a-z0-9\-]+)\s*:\s*)(\S.*)$`)
	// A name = value assignment: the whole of an argument.
	assignment = regexp.MustCompile(`(?s)^(-{0,2}[A-Za-z_][A-Za-z0-9_.\-]*)=(.*)$`)
)

// RedactURL removes what may be a credential from a URL: the user information,
// and the value of each parameter of query and fragment whose name says that it
// holds one (see the list at secretName). The rest stays byte for byte. A text
// that is not a URL is returned as it is. Redacting twice changes nothing more.
func RedactURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" {
		return s
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = Redacted + authority[at:]
	} else if at := strings.LastIndexByte(tail, '@'); at >= 0 && !validPort(authority) {
		// An unescaped "/", "?" or "#" in a password: what looks like a port is
		// its beginning.
		authority, tail = Redacted+tail[at:], ""
		if end := strings.IndexAny(authority, "/?#"); end >= 0 {
			authority, tail = authority[:end], authority[end:]
		}
	}
	main, fragment, hasFragment := strings.Cut(tail, "#")
	path, query, hasQuery := strings.Cut(main, "?")
	out := scheme + "://" + authority + path
	if hasQuery {
		out += "?" + redactParameters(query)
	}
	if hasFragment {
		out += "#" + redactParameters(fragment)
	}
	return out
}

// validPort says that an authority has no port, or digits for one.
func validPort(authority string) bool {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || strings.HasSuffix(authority, "]") {
		return true
	}
	return strings.Trim(authority[colon+1:], "0123456789") == ""
}

func redactParameters(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		pair, separator := s, ""
		if i := strings.IndexAny(s, "&;"); i >= 0 {
			pair, separator = s[:i], s[i:i+1]
		}
		s = s[len(pair)+len(separator):]
		if name, value, ok := strings.Cut(pair, "="); ok && value != "" {
			plain, err := url.QueryUnescape(name)
			if err != nil {
				plain = name
			}
			if secretName(plain, true) {
				pair = name + "=" + Redacted
			}
		}
		b.WriteString(pair + separator)
	}
	return b.String()
}

// secretName says that a parameter, option, header or variable of this name
// may hold a secret. The first list counts anywhere in the name, the second as a
// word of it ("auth" in "X-Auth-Id", not in "author"). key is one of them where
// loose is true (a query), and otherwise only after a word that makes it one, so
// that "--key FILE" stays readable.
func secretName(name string, loose bool) bool {
	name = strings.ToLower(name)
	for _, s := range []string{"token", "password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey", "authorization", "signature"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') })
	for i, w := range words {
		switch w {
		case "auth", "pass", "pwd", "pw", "cookie", "jwt", "sig", "sas", "pat", "session", "sessionid", "bearer":
			return true
		case "key":
			if loose {
				return true
			}
			if i > 0 && slices.Contains([]string{"api", "access", "private", "signing", "encryption", "account", "auth"}, words[i-1]) {
				return true
			}
		}
	}
	return false
}

// RedactText removes credentials from what a program printed: those in URLs,
// in authorization headers and behind options such as --password, and each of
// secrets wherever it stands, plainly or percent-encoded. Secrets shorter than
// four bytes are left.
func RedactText(s string, secrets []string) string {
	s = redactPatterns(s)
	var all []string
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:])
		}
	}
	// Longest first: one secret may be a part of another.
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, secret := range slices.Compact(all) {
		s = strings.ReplaceAll(s, secret, Redacted)
	}
	return s
}

func redactPatterns(s string) string {
	s = urlInText.ReplaceAllStringFunc(s, RedactURL)
	s = authorizationInText.ReplaceAllStringFunc(s, func(match string) string {
		m := authorizationInText.FindStringSubmatch(match)
		if m[3] != "" { // redacted before: m[2] is only the scheme
			return match
		}
		return m[1] + Redacted
	})
	return optionInText.ReplaceAllString(s, "${1}"+Redacted)
}

// RedactArgs removes credentials from an argument vector: in URLs, as the value
// of options whose name says so (--password X, --token=X), of -u and --user with
// a colon, of --proxy with user information, in headers, and in assignments
// (env API_TOKEN=X). The result has as many elements as args, nil for nil.
func RedactArgs(args []string) []string {
	if args == nil {
		return nil
	}
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = redactArg(arg)
		if i == 0 {
			continue
		}
		if previous := args[i-1]; takesSecret(previous, arg) {
			out[i] = Redacted
		} else if previous == "--proxy" || previous == "-x" {
			out[i] = redactProxy(arg)
		}
	}
	return out
}

// takesSecret says that value, the argument behind option, is the secret value
// of option.
func takesSecret(option, value string) bool {
	if option == "-u" || option == "--user" {
		return strings.Contains(value, ":") && !strings.Contains(value, "://")
	}
	if !strings.HasPrefix(option, "--") || strings.ContainsAny(option, "=: \t\n") || strings.HasPrefix(value, "--") {
		return false
	}
	words := strings.Split(option, "-")
	last := words[len(words)-1]
	if last == "key" || last == "file" || last == "type" || last == "provider" {
		return last == "key" && secretName(option, false)
	}
	return secretName(last, false)
}

// redactArg redacts one argument by itself.
func redactArg(arg string) string {
	if m := assignment.FindStringSubmatch(arg); m != nil {
		name, value := m[1], m[2]
		switch {
		case value != "" && secretName(name, false):
			return name + "=" + Redacted
		case name == "--proxy":
			return name + "=" + redactProxy(value)
		case name == "--user" && strings.Contains(value, ":"):
			return name + "=" + Redacted
		case strings.HasPrefix(value, "-") || assignment.MatchString(value):
			return name + "=" + redactArg(value) // --global-option=--password=X
		}
	}
	if m := secretHeader.FindStringSubmatch(arg); m != nil && secretName(m[2], false) {
		return m[1] + Redacted
	}
	if user, ok := strings.CutPrefix(arg, "-u"); ok && strings.Contains(user, ":") && !strings.Contains(user, "://") {
		return "-u" + Redacted
	}
	return redactPatterns(arg)
}

// redactProxy redacts a proxy, which may be given without a scheme.
func redactProxy(s string) string {
	if strings.Contains(s, "://") {
		return RedactURL(s)
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		return Redacted + s[at:]
	}
	return s
}

// AllowedVariable says that the value of an environment variable of this name
// is kept in evidence: a path, a locale, a flag or the identity of a runner, and
// by its meaning never a secret.
func AllowedVariable(name string) bool {
	switch name {
	case "PATH", "HOME", "LANG", "LANGUAGE", "PWD", "OLDPWD", "TMPDIR", "TEMP", "TMP", "SHELL", "TERM", "USER", "LOGNAME",
		"SHLVL", "TZ", "COLUMNS", "LINES", "NO_COLOR", "HOSTNAME", "SOURCE_DATE_EPOCH",
		"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
		"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "CONDA_PREFIX",
		// What changes which code an interpreter or the loader runs.
		"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_DEBUG", "LD_BIND_NOW", "GCONV_PATH", "MALLOC_ARENA_MAX",
		"BASH_ENV", "ENV", "NODE_OPTIONS", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT",
		"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE",
		"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONNOUSERSITE",
		"PYTHONSAFEPATH", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONVERBOSE", "PYTHONWARNINGS", "PYTHONBREAKPOINT", "PYTHONDEBUG",
		"PYTHONFAULTHANDLER", "PYTHONDEVMODE", "PYTHONCOERCECLOCALE", "PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG",
		"PYTHON_GIL", "PYTHON_COLORS",
		// The compilers of an sdist build.
		"CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CARGO_HOME", "RUSTUP_HOME", "MAKEFLAGS",
		// The installer's flags; the ones that hold URLs are not here.
		"PIP_NO_INDEX", "PIP_NO_CACHE_DIR", "PIP_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_INPUT", "PIP_NO_DEPS", "PIP_PRE",
		"PIP_ONLY_BINARY", "PIP_NO_BINARY", "PIP_REQUIRE_HASHES", "PIP_NO_BUILD_ISOLATION", "PIP_CONFIG_FILE", "PIP_TARGET", "PIP_PREFIX",
		"PIP_REQUIRE_VIRTUALENV", "PIP_BREAK_SYSTEM_PACKAGES", "PIP_ROOT_USER_ACTION", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
		// Runners.
		"CI", "GITHUB_ACTIONS", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_SHA", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_RUN_NUMBER",
		"GITHUB_WORKFLOW", "GITHUB_WORKFLOW_REF", "GITHUB_JOB", "GITHUB_EVENT_NAME", "GITHUB_ACTOR", "GITHUB_SERVER_URL", "RUNNER_OS", "RUNNER_ARCH",
		"GITLAB_CI", "CI_PROJECT_PATH", "CI_PIPELINE_ID", "CI_JOB_ID", "CI_JOB_NAME", "CI_COMMIT_SHA", "CI_COMMIT_REF_NAME", "CI_SERVER_URL",
		"JENKINS_URL", "BUILD_ID", "BUILD_NUMBER", "JOB_NAME", "GIT_COMMIT", "GIT_BRANCH":
		return true
	}
	return strings.HasPrefix(name, "LC_")
}

// RedactEnviron writes an environment ("NAME=VALUE" entries, as in environ(7))
// as one line: entries sorted by name and joined by single spaces. A value is
// kept where [AllowedVariable] says so, credentials in its URLs removed, and is
// Redacted otherwise; an empty value stays empty. In names and values the
// percent sign, blanks, control characters and bytes that are not UTF-8 are
// written as %XX, so that [SplitEnviron] can take the line apart. Entries
// without "=" or without a name are left out.
func RedactEnviron(environ []string) string {
	entries := make([]string, 0, len(environ))
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			continue
		}
		entries = append(entries, escapeEntry(name)+"="+escapeEntry(RedactVariable(name, value)))
	}
	slices.SortStableFunc(entries, func(a, b string) int {
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return cmp.Compare(a, b)
	})
	return strings.Join(entries, " ")
}

// RedactVariable returns the value of an environment variable as it may be
// signed; see [RedactEnviron].
func RedactVariable(name, value string) string {
	switch {
	case value == "":
		return ""
	case AllowedVariable(name):
		return redactPatterns(value)
	default:
		return Redacted
	}
}

// SplitEnviron takes a line of [RedactEnviron] apart: names to values. Of a name
// that is there twice the first value counts, as for getenv(3).
func SplitEnviron(line string) map[string]string {
	out := make(map[string]string)
	for entry := range strings.SplitSeq(line, " ") {
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			continue
		}
		name = unescapeEntry(name)
		if _, known := out[name]; !known {
			out[name] = unescapeEntry(value)
		}
	}
	return out
}

func escapeEntry(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r <= ' ' || r == 0x7f || r == '%' {
			b.WriteByte('%')
			b.WriteByte(digits[s[i]>>4])
			b.WriteByte(digits[s[i]&15])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func unescapeEntry(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}
