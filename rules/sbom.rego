# METADATA
# title: Licences and known vulnerabilities
# description: >-
#   The bill of materials is judged by the licences that a policy accepts and by the
#   vulnerabilities that were found in a local database. Optional: it judges only
#   where a policy names it, with the data licences and vulnerabilities.
# related_resources:
#   - ref: https://cyclonedx.org/docs/1.6/json/
#   - ref: https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/
# custom:
#   attestation: sbom/v0.1
package pip_witness.sbom

import data.pip_witness.indicators.licences as accepted
import data.pip_witness.indicators.vulnerabilities as limits
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: A licence that is denied
# description: >-
#   Every way to comply with the licence of a component holds a term that the policy
#   denies. Where no way is known, the names that it declares are compared.
# custom:
#   id: SBOM_LICENCE_DENIED
#   severity: HIGH
#   attack: none
#   incidents: [policy only]
#   false_positives: Metadata that names another licence than the files; ask the project to correct it.
#   solution: Use another component, or agree on an exception for this one.
#   needs: licences in sbom
deny contains msg if {
	some component in _components
	_denied(component)
	msg := sprintf(
		"HIGH:SBOM_LICENCE_DENIED: \"%s\" has the licence \"%s\", which the policy denies",
		[_name(component), _told(component)],
	)
}

# METADATA
# title: A licence that is not on the list
# description: No way to comply with the licence of a component consists of terms that the policy allows.
# custom:
#   id: SBOM_LICENCE_NOT_ALLOWED
#   severity: MEDIUM
#   attack: none
#   incidents: [policy only]
#   false_positives: Licences that nobody has looked at yet; add them to the list.
#   solution: Add the licence to the allowed ones, or use another component.
#   needs: licences in sbom
deny contains msg if {
	count(accepted.allow) > 0
	some component in _components
	count(_choices(component)) > 0
	not _denied(component)
	not _allowed(component)
	msg := sprintf(
		"MEDIUM:SBOM_LICENCE_NOT_ALLOWED: \"%s\" has the licence \"%s\", which the policy does not allow",
		[_name(component), _spelled(component)],
	)
}

# METADATA
# title: No licence that can be judged
# description: >-
#   A component declares no licence, or one that is not of the SPDX list, and the
#   texts that it carries are none that is known. MEDIUM where the policy lists what
#   is allowed, because then this is not.
# custom:
#   id: SBOM_LICENCE_UNKNOWN
#   severity: LOW
#   attack: none
#   incidents: [policy only]
#   false_positives: Older metadata that names a family, such as BSD.
#   solution: Read its licence, and agree on an exception for it.
#   needs: licences in sbom
deny contains msg if {
	some component in _components
	count(_choices(component)) == 0
	not _denied(component)
	msg := sprintf(
		"%s:SBOM_LICENCE_UNKNOWN: \"%s\" has no licence that can be judged%s",
		[_unknown_severity, _name(component), _declared(component)],
	)
}

# METADATA
# title: A known vulnerability
# description: >-
#   A component has a vulnerability of the threshold or above, and no analysis says
#   that it does not matter here. The severity is the highest rating.
# custom:
#   id: SBOM_VULNERABILITY
#   severity: CRITICAL
#   attack: T1190
#   incidents: [policy only]
#   false_positives: Code that is not reached; say so in a VEX document.
#   solution: Install a fixed version.
#   needs: vulnerabilities in sbom
deny contains msg if {
	some vulnerability in _vulnerabilities
	not _malicious(vulnerability)
	not _ignored(vulnerability)
	severity := _rating(vulnerability)
	_rank[severity] >= _rank[limits.threshold]
	msg := sprintf(
		"%s:SBOM_VULNERABILITY: \"%s\" has the known vulnerability \"%s\"%s",
		[severity, _affected(vulnerability), _id(vulnerability), _advice(vulnerability)],
	)
}

# METADATA
# title: A release that is known to be malicious
# description: The database lists a component as malicious. No analysis and no threshold speaks for it.
# custom:
#   id: SBOM_MALICIOUS
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [litellm 1.82.8, telnyx, mistralai 2.4.6]
#   false_positives: None is known; withdrawn advisories are not in the evidence.
#   solution: Do not install it; rotate what it could reach where it was.
#   needs: vulnerabilities in sbom
deny contains msg if {
	some vulnerability in _vulnerabilities
	_malicious(vulnerability)
	msg := sprintf(
		"CRITICAL:SBOM_MALICIOUS: \"%s\" is listed as malicious in \"%s\"",
		[_affected(vulnerability), _id(vulnerability)],
	)
}

not_evaluated contains "SBOM: the evidence is no CycloneDX document" if not input.attestation.bomFormat == "CycloneDX"

not_evaluated contains sprintf("%s: the list of components is incomplete", [id]) if {
	some composition in input.attestation.compositions
	input.attestation.metadata.component["bom-ref"] in composition.assemblies
	composition.aggregate != "complete"
	some id in ["SBOM_LICENCE_DENIED", "SBOM_VULNERABILITY"]
}

not_evaluated contains sprintf("%s: vulnerabilities were %s", [id, text.safe(_outcome)]) if {
	_outcome != "evaluated"
	some id in ["SBOM_VULNERABILITY", "SBOM_MALICIOUS"]
}

# A word that is no severity must not silence the rule that it is for.
not_evaluated contains sprintf("SBOM_VULNERABILITY: %s is \"%s\", which is no severity", [name, text.safe(value)]) if {
	some name in ["threshold", "unrated"]
	value := limits[name]
	not _rank[value]
}

default _outcome := "not looked up"

_outcome := property.value if {
	some property in input.attestation.metadata.properties
	property.name == "pip-witness:vulnerabilities"
}

# What can be judged: the distributions. What is nested in them has no licence of
# its own in the document.
_components contains component if some component in input.attestation.components

_vulnerabilities contains vulnerability if some vulnerability in input.attestation.vulnerabilities

# The ways to comply, each a set of terms.
_choices(component) := {choice |
	some property in component.properties
	property.name == "pip-witness:licence-choice"
	choice := split(property.value, " AND ")
}

_denied(component) if {
	count(_choices(component)) > 0
	every choice in _choices(component) {
		some term in choice
		_listed(term, accepted.deny)
	}
}

_denied(component) if {
	count(_choices(component)) == 0
	some name in _names(component)
	_listed(name, accepted.deny)
}

_allowed(component) if {
	some choice in _choices(component)
	every term in choice {
		_listed(term, accepted.allow)
		not _listed(term, accepted.deny)
	}
}

_listed(term, patterns) if {
	some pattern in patterns
	glob.match(lower(pattern), null, lower(term))
}

_name(component) := text.safe(sprintf("%s %s", [component.name, object.get(component, "version", "")]))

_spelled(component) := text.safe(concat(" OR ", sort([concat(" AND ", choice) | some choice in _choices(component)])))

_names(component) := {entry.license.name | some entry in component.licenses}

_told(component) := _spelled(component) if count(_choices(component)) > 0

_told(component) := text.safe(concat(", ", sort(_names(component)))) if count(_choices(component)) == 0

_declared(component) := sprintf("; it says \"%s\"", [_told(component)]) if count(_names(component)) > 0

_declared(component) := "" if count(_names(component)) == 0

default _unknown_severity := "LOW"

_unknown_severity := "MEDIUM" if count(accepted.allow) > 0

_ignored(vulnerability) if {
	some ignored in limits.ignored_states
	vulnerability.analysis.state == ignored.state
}

_malicious(vulnerability) if {
	some property in vulnerability.properties
	property.name == "pip-witness:malicious"
	property.value == "true"
}

_rank := {"INFO": 1, "LOW": 2, "MEDIUM": 3, "HIGH": 4, "CRITICAL": 5}

_severities := {
	"critical": "CRITICAL",
	"high": "HIGH",
	"medium": "MEDIUM",
	"low": "LOW",
	"info": "INFO",
	"none": "INFO",
}

# The ranks of the ratings that are one: "unknown" is none.
_ranks(vulnerability) := {_rank[_severities[rating.severity]] | some rating in vulnerability.ratings}

_rating(vulnerability) := limits.unrated if count(_ranks(vulnerability)) == 0

_rating(vulnerability) := severity if {
	some severity, rank in _rank
	rank == max(_ranks(vulnerability))
}

_id(vulnerability) := text.safe(object.get(vulnerability, "id", "without an id"))

_affected(vulnerability) := text.safe(concat(", ", sort([affected.ref | some affected in vulnerability.affects])))

_advice(vulnerability) := sprintf("; %s", [text.safe(vulnerability.recommendation)])

_advice(vulnerability) := "" if not vulnerability.recommendation
