package interpreter

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Two facts of the text that pip prints, for a pip whose internals have moved.
var (
	// `global.index-url='https://…'`, with a Python string literal.
	configLine = regexp.MustCompile(`^([A-Za-z0-9_:-]+)\.([A-Za-z0-9_-]+)=(['"].*['"])$`)
	// The option's help ends in "(default URL)", perhaps broken over lines.
	defaultIndexHelp = regexp.MustCompile(`(?s)--index-url\b.*?\(default:?\s+([a-z+]+://[^\s)]+)\)`)
)

// askCommands reads the configuration with pip's own commands.
func askCommands(ctx context.Context, python string, a *answer, isolated bool, environ []string) (*configValues, error) {
	pip := []string{"-I", "-B", "-m", "pip"}
	if !isolated {
		pip = []string{"-I", "-B", a.Pip.Package}
	}
	list, said, err := run(ctx, a.Executable, append(pip, "config", "list"), environ)
	if err != nil {
		return nil, refused(python, fmt.Sprintf("pip config list: %v: %s", err, tail(said, 400)))
	}
	help, said, err := run(ctx, a.Executable, append(pip, "install", "--help"), unconfigured(environ))
	if err != nil {
		return nil, refused(python, fmt.Sprintf("pip install --help: %v: %s", err, tail(said, 400)))
	}
	values, err := parseConfigList(string(list))
	if err != nil {
		return nil, refused(python, err.Error())
	}
	if m := defaultIndexHelp.FindStringSubmatch(string(help)); m != nil {
		values.DefaultIndex = m[1]
	}
	if values.IndexURL == "" {
		values.IndexURL = values.DefaultIndex
	}
	return values, nil
}

// unconfigured is environ without pip's configuration: the help would show the
// configured index as the default one.
func unconfigured(environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(e string) bool { return strings.HasPrefix(e, "PIP_") })
	return append(env, "PIP_CONFIG_FILE="+os.DevNull)
}

// parseConfigList reads the output of `pip config list`. Of one option the
// [install] section overrides [global], and a variable (":env:") overrides
// both; empty values are ignored; lists are split on white space.
func parseConfigList(text string) (*configValues, error) {
	options := make(map[string]string)
	rank := make(map[string]int)
	v := &configValues{Timeout: 15, Retries: 5}
	for line := range strings.Lines(text) {
		m := configLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		order := map[string]int{"global": 1, "install": 2, ":env:": 3}[m[1]]
		value, err := pythonString(m[3])
		if err != nil {
			return nil, fmt.Errorf("read pip config list: option %q: %w", m[2], err)
		}
		if order == 0 || value == "" {
			continue
		}
		v.Set = append(v.Set, m[1]+"."+m[2])
		if order >= rank[m[2]] {
			options[m[2]], rank[m[2]] = value, order
		}
	}
	return v, v.apply(options)
}

// apply sets the fields that options name.
func (v *configValues) apply(options map[string]string) error {
	texts := map[string]*string{
		"index-url": &v.IndexURL, "cert": &v.Cert, "client-cert": &v.ClientCert, "proxy": &v.Proxy, "keyring-provider": &v.KeyringProvider,
	}
	lists := map[string]*[]string{
		"extra-index-url": &v.ExtraIndexURLs, "find-links": &v.FindLinks, "trusted-host": &v.TrustedHosts, "constraint": &v.Constraints,
		"build-constraint": &v.BuildConstraints, "requirement": &v.Requirements, "no-binary": &v.NoBinary, "only-binary": &v.OnlyBinary,
		"use-feature": &v.UseFeatures, "config-settings": &v.ConfigSettings,
	}
	var noDeps, usePEP517, noUsePEP517 bool
	switches := map[string]*bool{
		"no-index": &v.NoIndex, "require-hashes": &v.RequireHashes, "pre": &v.Pre, "prefer-binary": &v.PreferBinary, "no-deps": &noDeps,
		"no-dependencies": &v.NoDeps, "no-build-isolation": &v.NoBuildIsolation, "use-pep517": &usePEP517, "no-use-pep517": &noUsePEP517,
		"ignore-requires-python": &v.IgnoreRequiresPython,
	}
	for name, value := range options {
		var err error
		switch {
		case texts[name] != nil:
			*texts[name] = value
		case lists[name] != nil:
			*lists[name] = strings.Fields(strings.ReplaceAll(value, ",", listSeparator(name)))
		case switches[name] != nil:
			*switches[name], err = pythonBool(value)
		case name == "timeout" || name == "default-timeout":
			v.Timeout, err = strconv.ParseFloat(value, 64)
		case name == "retries":
			v.Retries, err = strconv.Atoi(value)
		}
		if err != nil {
			return fmt.Errorf("read pip config list: option %q: %w", name, err)
		}
	}
	v.NoDeps = v.NoDeps || noDeps
	if usePEP517 || noUsePEP517 {
		use := usePEP517
		v.UsePEP517 = &use
	}
	// The parser of pip inverts a configured no-build-isolation: PIP_NO_BUILD_ISOLATION=off
	// is what turns isolation off (and "on" leaves it on).
	if _, set := options["no-build-isolation"]; set {
		v.NoBuildIsolation = !v.NoBuildIsolation
	}
	return nil
}

// listSeparator is what a comma stands for in a list: the two format controls
// are separated by commas, everything else keeps them.
func listSeparator(option string) string {
	if option == "no-binary" || option == "only-binary" {
		return " "
	}
	return ","
}

// pythonBool reads a switch as pip does.
func pythonBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "y", "yes", "t", "true", "on", "1":
		return true, nil
	case "n", "no", "f", "false", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is not a truth value", s)
}

// pythonString reads a string literal as Python's repr writes it.
func pythonString(literal string) (string, error) {
	if len(literal) < 2 || literal[0] != literal[len(literal)-1] {
		return "", fmt.Errorf("%q is not a string literal", literal)
	}
	quote, body := literal[0], literal[1:len(literal)-1]
	var b strings.Builder
	for body != "" {
		if body[0] == '\\' && len(body) > 1 && (body[1] == '\'' || body[1] == '"') {
			b.WriteByte(body[1]) // Go's reader allows only the quote in use
			body = body[2:]
			continue
		}
		if body[0] == quote {
			return "", fmt.Errorf("%q is not one string literal", literal)
		}
		r, _, rest, err := strconv.UnquoteChar(body, 0)
		if err != nil {
			return "", fmt.Errorf("%q is not a string literal: %w", literal, err)
		}
		b.WriteRune(r) // \xe9 is a character to Python, a byte to Go
		body = rest
	}
	return b.String(), nil
}
