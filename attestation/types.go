package attestation

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Statement, payload and bundle types.
const (
	// StatementType is the in-toto Statement v1, the one that is written.
	StatementType = "https://in-toto.io/Statement/v1"
	// StatementTypeV01 is the in-toto Statement v0.1, read as well.
	StatementTypeV01 = "https://in-toto.io/Statement/v0.1"
	// PayloadType is the DSSE payload type of an in-toto statement.
	PayloadType = "application/vnd.in-toto+json"
	// PolicyPayloadType is the DSSE payload type of a compiled policy.
	PolicyPayloadType = "https://witness.testifysec.com/policy/v0.1"
	// CollectionType is the predicate type of a step's collection.
	CollectionType = "https://witness.testifysec.com/attestation-collection/v0.1"
	// CollectionTypeAflock is the same predicate under its other name, read only.
	CollectionTypeAflock = "https://aflock.ai/attestation-collection/v0.1"
	// BundleMediaType is the media type of a Sigstore bundle.
	BundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// Attestation types that are emitted.
const (
	TypeCommandRun  = witnessNamespace + "command-run/v0.1"
	TypeEnvironment = witnessNamespace + "environment/v0.1"
	TypeMaterial    = witnessNamespace + "material/v0.1"
	TypeProduct     = witnessNamespace + "product/v0.1"
	TypeOmnitrail   = witnessNamespace + "omnitrail/v0.1"
	TypeSecretScan  = witnessNamespace + "secretscan/v0.1"
	TypeSBOM        = witnessNamespace + "sbom/v0.1"
	TypePipInstall  = aflockNamespace + "pip-install/v0.1"
	TypeSLSA        = "https://slsa.dev/provenance/v1"
	TypeVerdict     = "https://slsa.dev/verification_summary/v1"
	TypeOutcome     = "https://pip-witness.dev/attestations/outcome/v0.1"
)

const (
	witnessNamespace = "https://witness.dev/attestations/"
	aflockNamespace  = "https://aflock.ai/attestations/"
)

// Type is one row of the table of attestation types.
type Type struct {
	// Short is what a policy may write: "command-run/v0.1".
	Short string
	// Name is the key of the predicate in a module's input: "command-run".
	Name string
	// URI is the type as it is emitted and as a compiled policy names it.
	URI string
	// Aliases are other URIs of the same predicate, read only.
	Aliases []string
}

// Types returns the table of known attestation types, sorted by short name.
func Types() []Type {
	aflock := func(name string) Type {
		return Type{Short: name + "/v0.1", Name: name, URI: witnessNamespace + name + "/v0.1", Aliases: []string{aflockNamespace + name + "/v0.1"}}
	}
	return []Type{
		aflock("command-run"),
		aflock("environment"),
		aflock("material"),
		aflock("omnitrail"),
		{Short: "outcome/v0.1", Name: "outcome", URI: TypeOutcome},
		{Short: "pip-install/v0.1", Name: "pip-install", URI: TypePipInstall},
		aflock("product"),
		aflock("sbom"),
		aflock("secretscan"),
		{Short: "slsa/v1.0", Name: "slsa", URI: TypeSLSA, Aliases: []string{"https://slsa.dev/provenance/v1.0"}},
		{Short: "verdict/v1", Name: "verdict", URI: TypeVerdict},
	}
}

// ResolveShort returns the type URI that a policy means by name: a full URI is
// returned as it is, a short type is looked up. A name that is unknown, or that
// leaves the version open, is an error that lists the types there are.
func ResolveShort(name string) (string, error) {
	if strings.Contains(name, "://") {
		return name, nil
	}
	var known, versions []string
	for _, t := range Types() {
		if t.Short == name {
			return t.URI, nil
		}
		known = append(known, t.Short)
		if base, _, _ := strings.Cut(name, "/"); t.Name == base {
			versions = append(versions, t.Short)
		}
	}
	if len(versions) > 0 && !strings.Contains(name, "/") {
		return "", fmt.Errorf("ambiguous attestation type %q: it names no version; write %s, or the full URI", name, strings.Join(versions, " or "))
	}
	return "", fmt.Errorf("unknown attestation type %q: known are %s; any other needs its full URI", name, strings.Join(known, ", "))
}

// versionElement is the last path element of a type URI when it is a version.
var versionElement = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)*$`)

// ShortName returns the key under which a predicate of type uri appears in a
// module's input: the name of the table, else the last path element before the
// version.
func ShortName(uri string) string {
	for _, t := range Types() {
		if t.URI == uri || slices.Contains(t.Aliases, uri) {
			return t.Name
		}
	}
	if uri == "https://cyclonedx.org/bom" || strings.HasPrefix(uri, "https://cyclonedx.org/bom/") {
		return "sbom"
	}
	if strings.HasPrefix(uri, "https://slsa.dev/provenance/") {
		return "slsa"
	}
	elements := strings.Split(strings.TrimRight(uri, "/"), "/")
	last := elements[len(elements)-1]
	if versionElement.MatchString(last) && len(elements) > 1 {
		return elements[len(elements)-2]
	}
	return last
}

// Satisfies reports whether an attestation stored under the URI stored fulfils
// a policy that asks for the URI required: the same URI, one of its aliases in
// the table, or the same name and version in the aflock namespace.
func Satisfies(required, stored string) bool {
	if required == stored {
		return true
	}
	for _, t := range Types() {
		if t.URI == required && slices.Contains(t.Aliases, stored) {
			return true
		}
		// Both spellings of the provenance type mean the same document.
		if t.Name == "slsa" && t.URI == stored && slices.Contains(t.Aliases, required) {
			return true
		}
	}
	name, ok := strings.CutPrefix(required, witnessNamespace)
	return ok && stored == aflockNamespace+name
}

// IsCollection reports whether a statement's predicate type is a collection.
func IsCollection(predicateType string) bool {
	return predicateType == CollectionType || predicateType == CollectionTypeAflock
}
