package pip_witness.package_signing_test

import data.pip_witness.lib.fixture
import data.pip_witness.package_signing

import rego.v1

_attestation := {
	"status": "verified",
	"issuer": "https://token.actions.githubusercontent.com",
	"ref": "refs/tags/v1.2",
}

_earlier(statuses) := {
	"releases": [{"version": "1.1", "status": status} | some status in statuses],
	"attestationMissing": false,
	"publisherChanged": false,
}

_verified := {
	"package": "demo",
	"version": "1.2",
	"filename": "demo-1.2-py3-none-any.whl",
	"hasAttestation": true,
	"status": "verified",
	"publisherKind": "GitHub",
	"repository": "acme/demo",
	"workflow": "release.yml",
	"attestations": [_attestation],
	"earlier": _earlier(["verified", "verified", "not offered"]),
}

_missing := {
	"package": "demo",
	"version": "1.2",
	"hasAttestation": false,
	"status": "not offered",
	"earlier": _earlier(["not offered", "not offered"]),
}

_history := {"package": "demo", "this": {"files": 2, "provenance": 2}, "notOffered": ["owners"]}

_none_attested := {"indexHistory": [object.union(_history, {"this": {"files": 2, "provenance": 0}})]}

_some_attested := {"indexHistory": [object.union(_history, {"this": {"files": 2, "provenance": 1}})]}

_package := {"name": "Demo", "version": "1.2", "homePage": "https://example.org", "projectUrls": {
	"Source": "https://github.com/Acme/Demo.git",
	"Funding": "https://github.com/sponsors/acme",
	"Docs": "https://docs.example.org/acme/other",
}}

_input(v) := {"packages": [_package], "pep740Verification": [v], "indexHistory": [_history], "notExamined": []}

_found(v, more) := found if {
	# regal ignore:with-outside-test-context
	messages := package_signing.deny with input as object.union(_input(v), more)
	found := fixture.findings(messages)
}

_unknown(v, more) := found if {
	# regal ignore:with-outside-test-context
	messages := package_signing.not_evaluated with input as object.union(_input(v), more)
	found := {split(message, ":")[0] | some message in messages}
}

test_verified if {
	_found(_verified, {}) == set()
	_unknown(_verified, {}) == set()
}

test_missing_is_no_denial if {
	_found(_missing, _none_attested) == {"LOW:SIGN_NO_ATTESTATION"}
	_unknown(_missing, _none_attested) == set()
}

test_index_of_an_unlisted_file if {
	_found(object.remove(_missing, ["earlier"]), {"indexHistory": []}) == set()
}

test_index_without_attestations if {
	none := {"indexHistory": [object.union(_history, {"notOffered": ["provenance"]})]}
	_found(_missing, none) == set()
	_unknown(_missing, none) == {
		"SIGN_INVALID",
		"SIGN_MISSING_REGRESSION",
		"SIGN_NO_ATTESTATION",
		"SIGN_PUBLISHER_CHANGED",
	}
}

test_nothing_known if {
	package_signing.deny == set() with input as {}
	count(package_signing.not_evaluated) == 3 with input as {}
	offline := {"package": "demo", "hasAttestation": true, "status": "not evaluated", "reason": "offline"}
	_unknown(offline, {}) == {
		"SIGN_INVALID",
		"SIGN_MISSING_REGRESSION",
		"SIGN_PUBLISHER_CHANGED",
		"SIGN_REPO_MISMATCH",
		"SIGN_WORKFLOW_CHANGED",
	}
	_found({"package": 7, "status": "verified", "earlier": "none", "attestations": [1]}, {}) == set()
}

test_invalid if {
	bad := object.union(
		_verified,
		{"status": "invalid", "reason": "another file", "attestations": [{"status": "invalid", "failed": "name"}]},
	)
	_found(bad, {}) == {"CRITICAL:SIGN_INVALID"}
	other := object.union(bad, {"attestations": [{"status": "invalid", "failed": "digest"}]})
	_found(other, {}) == {"CRITICAL:SIGN_INVALID", "CRITICAL:SIGN_DIGEST_MISMATCH"}
}

_changed(
	now,
	before,
	owner,
) := object.union(_verified, {"repository": now, "earlier": object.union(_earlier(["verified"]), {
	"publisherChanged": true,
	"ownerChanged": owner,
	"changes": [sprintf("repository: \"%s\", before \"%s\"", [now, before])],
})})

test_publisher_changed if {
	_found(_changed("evil/demo", "acme/demo", true), {}) == {"HIGH:SIGN_PUBLISHER_CHANGED", "HIGH:SIGN_REPO_MISMATCH"}
	_found(_changed("acme/demo", "acme/old", false), {}) == {"MEDIUM:SIGN_PUBLISHER_CHANGED"}
	_found(_changed("acme/mono", "acme/demo", false), {}) == {"MEDIUM:SIGN_PUBLISHER_CHANGED", "LOW:SIGN_REPO_MISMATCH"}
}

test_repository_mismatch if {
	_found(object.union(_verified, {"repository": "other/demo"}), {}) == {"MEDIUM:SIGN_REPO_MISMATCH"}
	_found(object.union(_verified, {"repository": "acme/tools"}), {}) == {"LOW:SIGN_REPO_MISMATCH"}
	_found(
		object.union(_verified, {"repository": "other/demo"}),
		{"packages": [object.union(_package, {"projectUrls": {"Source": 1}})]},
	) == set()
}

_lost(statuses) := object.union(_missing, {"earlier": _earlier(statuses)})

test_regression if {
	_found(_lost(["offered", "offered", "offered"]), _none_attested) == {
		"HIGH:SIGN_MISSING_REGRESSION",
		"LOW:SIGN_NO_ATTESTATION",
	}
	_found(_lost(["offered", "not offered"]), _none_attested) == {
		"MEDIUM:SIGN_MISSING_REGRESSION",
		"LOW:SIGN_NO_ATTESTATION",
	}
}

test_partial if {
	_found(_verified, _some_attested) == {"MEDIUM:SIGN_PARTIAL"}
	_found(_lost(["offered", "offered"]), _some_attested) == {"MEDIUM:SIGN_PARTIAL", "LOW:SIGN_NO_ATTESTATION"}
}

test_workflow_changed if {
	changes := ["workflow: \"format.yml\", before \"release.yml\""]
	_found(
		object.union(_verified, {"earlier": object.union(_earlier(["verified"]), {"changes": changes})}),
		{},
	) == {"MEDIUM:SIGN_WORKFLOW_CHANGED"}
}

_from(ref) := _found(object.union(_verified, {"attestations": [object.union(_attestation, {"ref": ref})]}), {})

test_ref if {
	_from("refs/pull/77/merge") == {"MEDIUM:SIGN_REF_UNUSUAL"}
	_from("refs/merge-requests/7/head") == {"MEDIUM:SIGN_REF_UNUSUAL"}
	_from("refs/heads/fix-typo") == {"LOW:SIGN_REF_UNUSUAL"}
	_from("refs/heads/main") == set()
	_from("refs/heads/release/1.x") == set()
	_from("refs/heads/3.1.x") == set()
	_from("") == set()
}

test_issuer if {
	_found(
		object.union(_verified, {"attestations": [object.union(_attestation, {"issuer": "https://issuer.example"})]}),
		{},
	) == {"HIGH:SIGN_UNTRUSTED_ISSUER"}
}
