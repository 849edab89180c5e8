// Package rules is the catalogue of rule modules: each NAME.rego judges one
// attestation, with its test beside it in NAME_test.rego. Modules share the
// libraries in lib and the indicator data in indicators, which compilation of a
// policy links into them. Annotations of the rules are the source of their
// documentation.
package rules

import "embed"

// FS holds the modules, the libraries and the indicators, tests left out.
//
//go:embed attack_sequences.rego
//go:embed code_execution.rego
//go:embed container_escape.rego
//go:embed credential_harvesting.rego
//go:embed dependency_confusion.rego
//go:embed import_behavior.rego
//go:embed network_exfiltration.rego
//go:embed openclaw_ioc.rego
//go:embed package_signing.rego
//go:embed persistence.rego
//go:embed pth_injection.rego
//go:embed release_integrity.rego
//go:embed sbom.rego
//go:embed secrets.rego
//go:embed supply_chain.rego
//go:embed teampcp_ioc.rego
//go:embed user_ioc.rego
//go:embed lib/connections.rego
//go:embed lib/coverage.rego
//go:embed lib/credentials.rego
//go:embed lib/distributions.rego
//go:embed lib/indicators.rego
//go:embed lib/opens.rego
//go:embed lib/process.rego
//go:embed lib/programs.rego
//go:embed lib/releases.rego
//go:embed lib/sequences.rego
//go:embed lib/startup.rego
//go:embed lib/text.rego
//go:embed lib/writes.rego
//go:embed indicators/*.yaml
var FS embed.FS

// CredentialPaths is the name in [FS] of the table of credential paths, which
// the capture uses too.
const CredentialPaths = "indicators/credential_paths.yaml"
