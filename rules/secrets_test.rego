package pip_witness.secrets_test

import data.pip_witness.lib.fixture
import data.pip_witness.secrets

import rego.v1

_scan(findings) := {"attestation": {"findings": findings, "notScanned": [], "limits": {"maxFindings": 3}}}

_finding(class, path, more) := object.union(
	{
		"ruleId": "github-pat",
		"location": concat("/", [fixture.site, path]),
		"startLine": 7,
		"secret": {"sha256": "aa"},
		"class": class,
	},
	more,
)

_found(findings) := fixture.findings(messages) if {
	# regal ignore:with-outside-test-context
	messages := secrets.deny with input as _scan(findings)
}

test_specific if {
	_found([_finding("specific", "demo/api.py", {})]) == {"HIGH:SECRETS_CREDENTIAL"}
	_found([_finding("specific", "demo/tests/api.py", {})]) == {"MEDIUM:SECRETS_CREDENTIAL"}
	_found([_finding("generic", "demo/api.py", {})]) == set()
	_found([]) == set()
}

test_message if {
	messages := secrets.deny with input as _scan([_finding("specific", "demo/a\"b.py", {})])
	messages == {sprintf(
		`HIGH:SECRETS_CREDENTIAL: "%s/demo/a\"b.py" line 7 holds a credential of the form "github-pat"`,
		[fixture.site],
	)}
}

test_encoded if {
	_found([_finding("specific", "demo/api.py", {"encodingPath": ["base64"]})]) == {"HIGH:SECRETS_ENCODED"}
	_found([_finding("specific", "demo/docs/api.py", {"encodingPath": ["hex"]})]) == {"MEDIUM:SECRETS_ENCODED"}
}

test_samples if {
	messages := secrets.deny with input as _scan([_finding("specific", "demo/api.py", {})])
		with data.pip_witness.indicators.secrets as {"samples": ["aa"], "beside": []}
	messages == set()
}

_untold(more) := untold if {
	scan := {"attestation": object.union(_scan([]).attestation, more)}

	# regal ignore:with-outside-test-context
	untold := secrets.not_evaluated with input as scan
}

test_not_evaluated if {
	_untold({}) == set()
	_untold({"notScanned": [{"path": "/a"}, {"path": "/b"}]}) == {
		"SECRETS_CREDENTIAL: 2 installed files were not scanned to their end",
		"SECRETS_ENCODED: 2 installed files were not scanned to their end",
	}
	_untold({"limits": {"maxFindings": 0}}) == {
		"SECRETS_CREDENTIAL: the scan stopped at 0 findings",
		"SECRETS_ENCODED: the scan stopped at 0 findings",
	}
	untold := secrets.not_evaluated with input as {"attestation": {}}
	untold == {"SECRETS: the evidence has no findings, not even none"}
}
