package secretscan

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
)

// Class says what a finding rests on.
type Class string

const (
	// ClassSpecific is a secret that carries the mark of its provider, or of its
	// kind, in itself: "AKIA…", a PEM private key.
	ClassSpecific Class = "specific"
	// ClassGeneric is a random-looking text beside a telling name. Most such
	// findings in published packages are no secrets.
	ClassGeneric Class = "generic"
)

// rule is one rule of gitleaks with what is needed to decide cheaply whether
// it can match at all.
type rule struct {
	config.Rule
	class Class
	// plain and decoding are gitleaks' own detector with this rule alone, without
	// and with decoding: a text that has nothing to decode need not be searched
	// for it again.
	plain, decoding *detect.Detector
	// gate is nil for a rule of paths only; such a rule is generic.
	gate *gate
}

// loadConfig translates gitleaks' default rules with an own viper instance: the
// package's convenience function would change the process-wide one. The allowed
// paths of the global list are removed, because they name what is scanned here
// (lib/pythonX.Y, .dist-info) and what a package could call its files.
func loadConfig() (config.Config, error) {
	v := viper.New()
	v.SetConfigType("toml")
	if err := v.ReadConfig(strings.NewReader(config.DefaultConfig)); err != nil {
		return config.Config{}, fmt.Errorf("read the gitleaks rules: %w", err)
	}
	var vc config.ViperConfig
	if err := v.Unmarshal(&vc); err != nil {
		return config.Config{}, fmt.Errorf("decode the gitleaks rules: %w", err)
	}
	if vc.AllowList != nil {
		vc.AllowList.Paths = nil
	}
	for _, list := range vc.Allowlists {
		list.Paths = nil
	}
	cfg, err := vc.Translate()
	if err != nil {
		return config.Config{}, fmt.Errorf("translate the gitleaks rules: %w", err)
	}
	return cfg, nil
}

// newDetector returns gitleaks' detector for a configuration. A package does
// not get to allow its own findings by a comment.
func newDetector(cfg config.Config, depth int) *detect.Detector {
	d := detect.NewDetector(cfg)
	d.MaxDecodeDepth = depth
	d.IgnoreGitleaksAllow = true
	return d
}

func newRules(cfg config.Config) ([]rule, error) {
	out := make([]rule, 0, len(cfg.Rules))
	for id, r := range cfg.Rules {
		if len(r.RequiredRules) > 0 {
			return nil, fmt.Errorf("rule %q: depends on other rules, which is not supported", id)
		}
		one := cfg
		one.Rules = map[string]config.Rule{id: r}
		one.OrderedRules = []string{id}
		one.Keywords = make(map[string]struct{})
		for _, k := range r.Keywords {
			one.Keywords[k] = struct{}{}
		}
		entry := rule{Rule: r, class: ClassGeneric, plain: newDetector(one, 0), decoding: newDetector(one, decodeDepth)}
		if r.Regex != nil {
			parsed, err := syntax.Parse(r.Regex.String(), syntax.Perl)
			if err != nil {
				return nil, fmt.Errorf("rule %q: %w", id, err)
			}
			if entry.gate, err = newGate(parsed); err != nil {
				return nil, fmt.Errorf("rule %q: %w", id, err)
			}
			entry.class = classOf(id, parsed, r.SecretGroup)
		}
		out = append(out, entry)
	}
	slices.SortFunc(out, func(a, b rule) int { return strings.Compare(a.RuleID, b.RuleID) })
	return out, nil
}

// minMark is the shortest literal that counts as the mark of a provider.
const minMark = 3 // bytes

// classOf tells specific rules from generic ones by their expressions. A rule
// that looks for an assignment to a telling name is specific if the secret
// itself must contain a literal of minMark bytes; any other rule if its whole
// match must. Some rules have such a literal, but of a format (a token, a
// header, a file), not of a provider.
func classOf(id string, re *syntax.Regexp, secretGroup int) Class {
	if strings.Contains(id, "generic") {
		return ClassGeneric
	}
	switch id {
	case "jwt", "jwt-base64", "curl-auth-header", "curl-auth-user", "hashicorp-tf-password", "kubernetes-secret-yaml", "nuget-config-password":
		return ClassGeneric
	}
	if isAssignment(re) {
		if group := capture(re, max(secretGroup, 1)); group != nil {
			re = group
		}
	}
	if shortest(marks(re).words) < minMark {
		return ClassGeneric
	}
	return ClassSpecific
}

// isAssignment recognises the operators that gitleaks' generator puts into
// every rule of the form NAME operator VALUE.
func isAssignment(re *syntax.Regexp) bool {
	if re.Op == syntax.OpRepeat && re.Min == 1 && re.Max == 3 && re.Sub[0].Op == syntax.OpLiteral && string(re.Sub[0].Rune) == ":" {
		return true // the ":{1,3}=" of the generator's list of operators
	}
	return slices.ContainsFunc(re.Sub, isAssignment)
}

func capture(re *syntax.Regexp, number int) *syntax.Regexp {
	if re.Op == syntax.OpCapture && re.Cap == number {
		return re.Sub[0]
	}
	for _, sub := range re.Sub {
		if found := capture(sub, number); found != nil {
			return found
		}
	}
	return nil
}
