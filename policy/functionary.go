package policy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pip-witness/attestation"
)

// allowAll is the constraint that everything fits.
const allowAll = "*"

// Authorities are the parsed roots of a policy, sorted by id.
func Authorities(roots map[string]Root) ([]attestation.Authority, error) {
	var all []attestation.Authority
	for _, id := range slices.Sorted(maps.Keys(roots)) {
		a, err := attestation.ParseAuthority(id, roots[id].Certificate, roots[id].Intermediates)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// Fits reports why a signature is not one of this functionary, nil when it is.
func (f Functionary) Fits(s attestation.Accepted) error {
	if f.Type != FunctionaryRoot {
		if s.KeyID() != f.PublicKeyID {
			return fmt.Errorf("it is not key %s", f.PublicKeyID)
		}
		return nil
	}
	if s.Certificate == nil || f.CertConstraint == nil {
		return errors.New("it is by a plain key, want a certificate")
	}
	return f.CertConstraint.Check(s.Certificate, s.Roots)
}

// Check reports every way in which a certificate, which leads to the roots with
// these ids, does not fit. As witness has it: each list must have exactly the
// values of the certificate, an absent one means that the certificate may have
// none, and "*" allows any; of the roots one is enough.
func (c CertConstraint) Check(cert *x509.Certificate, roots []string) error {
	var uris []string
	for _, u := range cert.URIs {
		uris = append(uris, u.String())
	}
	problems := []error{
		exactly("common name", []string{c.CommonName}, []string{cert.Subject.CommonName}),
		exactly("DNS names", c.DNSNames, cert.DNSNames),
		exactly("email addresses", c.Emails, cert.EmailAddresses),
		exactly("organizations", c.Organizations, cert.Subject.Organization),
		exactly("URIs", c.URIs, uris),
	}
	if !slices.ContainsFunc(roots, func(id string) bool { return slices.Contains(c.Roots, id) || isAllowAll(c.Roots) }) {
		problems = append(problems, fmt.Errorf("it leads to root %q, want one of %q", roots, c.Roots))
	}
	return errors.Join(problems...)
}

func isAllowAll(list []string) bool { return len(list) == 1 && list[0] == allowAll }

func exactly(what string, want, have []string) error {
	if isAllowAll(want) {
		return nil
	}
	sorted := func(list []string) []string {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
		slices.Sort(list)
		return slices.Compact(list)
	}
	if w, h := sorted(want), sorted(have); !slices.Equal(w, h) {
		return fmt.Errorf("its %s are %q, want %q", what, h, w)
	}
	return nil
}

// check reports what makes the constraint one that nothing fits.
func (c *CertConstraint) check(roots map[string]Root) error {
	if c == nil {
		return errors.New("functionary of type \"root\": it needs a certConstraint")
	}
	if len(c.Roots) == 0 {
		return errors.New("functionary of type \"root\": its certConstraint names no roots; \"*\" is any")
	}
	if isAllowAll(c.Roots) {
		if len(roots) == 0 {
			return errors.New("functionary of type \"root\": the policy has no roots")
		}
		return nil
	}
	for _, id := range c.Roots {
		if _, ok := roots[id]; !ok {
			return fmt.Errorf("functionary of type \"root\": root %q is not among the roots", id)
		}
	}
	return nil
}
