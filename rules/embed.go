// Package rules is the catalogue of rule modules: each NAME.rego judges one
// attestation, with its test beside it in NAME_test.rego. Modules share the
// libraries in lib and the indicator data in indicators, which compilation of a
// policy links into them. Annotations of the rules are the source of their
// documentation.
package rules

import "embed"

// FS holds the modules, the libraries and the indicators, tests left out.
//
//go:embed credential_harvesting.rego import_behavior.rego network_exfiltration.rego pth_injection.rego sbom.rego secrets.rego
//go:embed lib/connections.rego lib/coverage.rego lib/credentials.rego lib/opens.rego lib/process.rego lib/startup.rego lib/text.rego
//go:embed indicators/*.yaml
var FS embed.FS

// CredentialPaths is the name in [FS] of the table of credential paths, which
// the capture uses too.
const CredentialPaths = "indicators/credential_paths.yaml"
