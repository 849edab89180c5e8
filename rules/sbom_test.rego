package pip_witness.sbom_test

import data.pip_witness.lib.fixture
import data.pip_witness.sbom

import rego.v1

_document(components, vulnerabilities) := {"attestation": {
	"bomFormat": "CycloneDX",
	"metadata": {
		"component": {"bom-ref": "environment", "name": "demo"},
		"properties": [{"name": "pip-witness:vulnerabilities", "value": "evaluated"}],
	},
	"components": components,
	"vulnerabilities": vulnerabilities,
	"compositions": [{"aggregate": "complete", "assemblies": ["environment"]}],
}}

_component(choices, names) := {
	"bom-ref": "pkg:pypi/demo@1",
	"name": "demo",
	"version": "1",
	"licenses": [{"license": {"name": name}} | some name in names],
	"properties": [{"name": "pip-witness:licence-choice", "value": choice} | some choice in choices],
}

# _judged(choices) are the findings on one component.
_judged(choices) := found if {
	# regal ignore:with-outside-test-context
	messages := sbom.deny with input as _document([_component(choices, [])], [])
	found := fixture.findings(messages)
}

_any := {"allow": [], "deny": []}

_no_agpl := {"allow": [], "deny": ["agpl-*"]}

_no_gpl := {"allow": [], "deny": ["GPL-*", "AGPL-*"]}

_plain_gpl := {"allow": [], "deny": ["GPL-2.0-only"]}

_apache := {"allow": ["Apache-*", "GPL-2.0-only WITH classpath-*"], "deny": []}

_both := {"allow": ["MIT"], "deny": ["MIT"]}

_refused := {"HIGH:SBOM_LICENCE_DENIED"}

_unlisted := {"MEDIUM:SBOM_LICENCE_NOT_ALLOWED"}

test_licences_are_nobodys_business_without_data if {
	_judged({"MIT"}) == set() with data.pip_witness.indicators.licences as _any
	_judged({"AGPL-3.0-only"}) == set() with data.pip_witness.indicators.licences as _any
}

test_denied_in_every_choice if {
	_judged({"AGPL-3.0-only AND MIT"}) == _refused with data.pip_witness.indicators.licences as _no_agpl
	_judged({"AGPL-3.0-only", "GPL-3.0-only"}) == _refused with data.pip_witness.indicators.licences as _no_gpl
	_judged({"AGPL-3.0-only", "MIT"}) == set() with data.pip_witness.indicators.licences as _no_agpl
	_judged({"LGPL-3.0-only"}) == set() with data.pip_witness.indicators.licences as _no_gpl
	_judged({"GPL-2.0-only"}) == _refused with data.pip_witness.indicators.licences as _plain_gpl
	_judged({"GPL-2.0-only WITH X"}) == set() with data.pip_witness.indicators.licences as _plain_gpl
}

test_allowed_in_one_choice if {
	_judged({"Apache-2.0"}) == set() with data.pip_witness.indicators.licences as _apache
	_judged({"Apache-2.0", "GPL-3.0-only"}) == set() with data.pip_witness.indicators.licences as _apache
	_judged({"Apache-2.0 AND GPL-3.0-only"}) == _unlisted with data.pip_witness.indicators.licences as _apache
	_judged({"GPL-2.0-only WITH Classpath-exception-2.0"}) == set() with data.pip_witness.indicators.licences as _apache
	_judged({"MIT"}) == _refused with data.pip_witness.indicators.licences as _both
}

test_unknown_licence if {
	_judged([]) == {"LOW:SBOM_LICENCE_UNKNOWN"} with data.pip_witness.indicators.licences as _any
	_judged([]) == {"MEDIUM:SBOM_LICENCE_UNKNOWN"} with data.pip_witness.indicators.licences as _apache
	named := sbom.deny with input as _document([_component([], ["BSD \"x\""])], [])
	named == {`LOW:SBOM_LICENCE_UNKNOWN: "demo 1" has no licence that can be judged; it says "BSD \"x\""`}
}

test_names_can_be_denied if {
	component := _component([], ["GNU Library or Lesser General Public License (LGPL)"])
	licences := {"allow": ["*"], "deny": ["*(lgpl)"]}
	document := _document([component], [])
	messages := sbom.deny with input as document with data.pip_witness.indicators.licences as licences
	fixture.findings(messages) == _refused
	some message in messages
	contains(message, "GNU Library or Lesser")
}

# _known(more) are the findings on one vulnerability.
_known(more) := found if {
	messages := _vulnerable(more)
	found := fixture.findings(messages)
}

_vulnerable(more) := messages if {
	vulnerability := object.union({"id": "PYSEC-1", "affects": [{"ref": "pkg:pypi/demo@1"}]}, more)

	# regal ignore:with-outside-test-context
	messages := sbom.deny with input as _document([_component(["MIT"], [])], [vulnerability])
}

# _from(threshold, unrated) is the data of a policy.
_from(threshold, unrated) := {
	"threshold": threshold,
	"unrated": unrated,
	"ignored_states": [{"state": "not_affected"}],
}

_rated(severities) := {"ratings": [{"severity": severity} | some severity in severities]}

test_vulnerability_has_the_highest_rating if {
	_known(_rated(["low", "critical", "unknown"])) == {"CRITICAL:SBOM_VULNERABILITY"}
	_known(_rated(["medium"])) == {"MEDIUM:SBOM_VULNERABILITY"}
	_known(_rated([])) == {"HIGH:SBOM_VULNERABILITY"}
	_known({}) == {"LOW:SBOM_VULNERABILITY"} with data.pip_witness.indicators.vulnerabilities as _from("LOW", "LOW")
	_known(_rated(["none"])) == set()
}

_high := {"HIGH:SBOM_VULNERABILITY"}

test_threshold if {
	_known(_rated(["medium"])) == set() with data.pip_witness.indicators.vulnerabilities as _from("HIGH", "HIGH")
	_known(_rated(["high"])) == _high with data.pip_witness.indicators.vulnerabilities as _from("HIGH", "HIGH")
}

test_analysis if {
	_known(object.union(_rated(["high"]), {"analysis": {"state": "not_affected"}})) == set()
	_known(object.union(_rated(["high"]), {"analysis": {"state": "exploitable"}})) == {"HIGH:SBOM_VULNERABILITY"}
	_known(object.union(_rated(["high"]), {"analysis": {"state": "in_triage"}})) == {"HIGH:SBOM_VULNERABILITY"}
}

test_malicious_whatever_is_said_for_it if {
	mark := {"properties": [{"name": "pip-witness:malicious", "value": "true"}], "analysis": {"state": "not_affected"}}
	found := {"CRITICAL:SBOM_MALICIOUS"}
	_known(mark) == found with data.pip_witness.indicators.vulnerabilities as _from("CRITICAL", "HIGH")
}

test_recommendation_is_told if {
	messages := _vulnerable({"recommendation": "upgrade demo to 2 or later"})
	messages == {concat("", [
		`HIGH:SBOM_VULNERABILITY: "pkg:pypi/demo@1" has the known vulnerability "PYSEC-1"`,
		"; upgrade demo to 2 or later",
	])}
}

# _untold(patches) is what was not evaluated on a patched document.
_untold(patches) := found if {
	document := json.patch(_document([], []), patches)

	# regal ignore:with-outside-test-context
	found := sbom.not_evaluated with input as document
}

test_not_evaluated if {
	_untold([]) == set()
	_untold([{"op": "remove", "path": "/attestation/bomFormat"}]) == {"SBOM: the evidence is no CycloneDX document"}
	_untold([{"op": "replace", "path": "/attestation/compositions/0/aggregate", "value": "incomplete"}]) == {
		"SBOM_LICENCE_DENIED: the list of components is incomplete",
		"SBOM_VULNERABILITY: the list of components is incomplete",
	}
	_untold([{"op": "remove", "path": "/attestation/metadata/properties/0"}]) == {
		"SBOM_VULNERABILITY: vulnerabilities were not looked up",
		"SBOM_MALICIOUS: vulnerabilities were not looked up",
	}
	value := "/attestation/metadata/properties/0/value"
	_untold([{"op": "replace", "path": value, "value": "not evaluated: no database"}]) == {
		"SBOM_VULNERABILITY: vulnerabilities were not evaluated: no database",
		"SBOM_MALICIOUS: vulnerabilities were not evaluated: no database",
	}
}

test_a_threshold_that_is_no_severity if {
	document := _document([], [])
	limits := _from("low", "HIGH")
	untold := sbom.not_evaluated with input as document with data.pip_witness.indicators.vulnerabilities as limits
	untold == {`SBOM_VULNERABILITY: threshold is "low", which is no severity`}
}
