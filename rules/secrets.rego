# METADATA
# title: Credentials in installed files
# description: >-
#   Files that were installed carry credentials that bear the mark of their provider.
#   Random-looking text beside a telling name is not judged: most of it is nobody's.
#   Optional: it judges only where a policy names it.
# related_resources:
#   - ref: https://attack.mitre.org/techniques/T1552/001/
# custom:
#   attestation: secretscan/v0.1
package pip_witness.secrets

import data.pip_witness.indicators.secrets as known
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A credential
# description: >-
#   An installed file holds a credential in the form of a provider. Who published it
#   has leaked it; who uses it acts for somebody else. MEDIUM in tests, examples and
#   documentation.
# custom:
#   id: SECRETS_CREDENTIAL
#   severity: HIGH
#   attack: T1552.001
#   incidents: [technique only]
#   false_positives: Samples from a provider's documentation; add their digests to the samples.
#   solution: Report it to the project, which has to revoke it.
#   needs: findings of secretscan
deny contains msg if {
	some finding in _credentials
	not finding.encodingPath
	msg := sprintf(
		"%s:SECRETS_CREDENTIAL: \"%s\" line %d holds a credential of the form \"%s\"",
		[_severity(finding), text.safe(finding.location), finding.startLine, text.safe(finding.ruleId)],
	)
}

# METADATA
# title: A credential behind an encoding
# description: A credential in the form of a provider shows only when base64, hexadecimal or another encoding is undone.
# custom:
#   id: SECRETS_ENCODED
#   severity: HIGH
#   attack: T1027
#   incidents: [technique only]
#   false_positives: Recorded responses of services in tests, which are MEDIUM.
#   solution: Find out what uses it; an encoded token often belongs to whoever collects what a package steals.
#   needs: findings of secretscan
deny contains msg if {
	some finding in _credentials
	msg := sprintf(
		"%s:SECRETS_ENCODED: \"%s\" line %d hides a credential of the form \"%s\" behind %s",
		[
			_severity(finding),
			text.safe(finding.location),
			finding.startLine,
			text.safe(finding.ruleId),
			text.safe(concat(", ", finding.encodingPath)),
		],
	)
}

not_evaluated contains "SECRETS: the evidence has no findings, not even none" if not input.attestation.findings

not_evaluated contains sprintf("%s: %d installed files were not scanned to their end", [id, unread]) if {
	unread := count(input.attestation.notScanned)
	unread > 0
	some id in ["SECRETS_CREDENTIAL", "SECRETS_ENCODED"]
}

not_evaluated contains sprintf("%s: the scan stopped at %d findings", [id, most]) if {
	most := input.attestation.limits.maxFindings
	count(input.attestation.findings) >= most
	some id in ["SECRETS_CREDENTIAL", "SECRETS_ENCODED"]
}

_credentials contains finding if {
	some finding in input.attestation.findings
	finding.class == "specific"
	not _sample(finding)
}

_sample(finding) if finding.secret.sha256 in known.samples

_severity(finding) := "MEDIUM" if _beside(finding)

_severity(finding) := "HIGH" if not _beside(finding)

_beside(finding) if {
	some entry in known.beside
	regex.match(entry.path, finding.location)
}
