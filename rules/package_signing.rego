# METADATA
# title: Publish attestations
# description: >-
#   Who published a file, as the attestations of its index say (PEP 740), and whether that is who
#   published the releases before. A valid attestation says where a file comes from, not that it is
#   harmless; a missing one says nothing.
# related_resources:
#   - ref: https://peps.python.org/pep-0740/
#   - ref: https://attack.mitre.org/techniques/T1195/002/
package pip_witness.package_signing

import data.pip_witness.indicators.publishers
import data.pip_witness.lib.distributions
import data.pip_witness.lib.text

import rego.v1

# METADATA
# title: An invalid attestation
# description: >-
#   The index offers an attestation that fails: certificate, transparency log, signature, the name or
#   the digest of the file, or the publisher.
# custom:
#   id: SIGN_INVALID
#   severity: CRITICAL
#   attack: T1553.002
#   incidents: [technique only]
#   false_positives: A trusted root that is older than the certificates; update it.
#   solution: Do not use the file; report it to the index.
#   needs: pep740Verification in pip-install
deny contains msg if {
	some v in _verifications
	v.status == "invalid"
	msg := sprintf(
		"CRITICAL:SIGN_INVALID: the publish attestation of \"%s\" is not valid: %s",
		[_file(v), text.safe(distributions.str(v, "reason"))],
	)
}

# METADATA
# title: An attestation of other bytes
# description: What the publisher signed is genuine, and it is about another digest than that of the installed file.
# custom:
#   id: SIGN_DIGEST_MISMATCH
#   severity: CRITICAL
#   attack: T1195.002
#   incidents: [technique only]
#   false_positives: none known
#   solution: Do not use the file; the index or a mirror serves other bytes than were published.
#   needs: pep740Verification in pip-install
deny contains msg if {
	some v in _verifications
	some a in v.attestations
	a.status == "invalid"
	a.failed == "digest"
	msg := sprintf(
		"CRITICAL:SIGN_DIGEST_MISMATCH: \"%s\" has other bytes than its publisher signed",
		[_file(v)],
	)
}

# METADATA
# title: Another publisher than before
# description: >-
#   The release was signed by another issuer or repository than the release before it. HIGH for another
#   owner; MEDIUM for another repository of the same one. A renamed repository is the same.
# custom:
#   id: SIGN_PUBLISHER_CHANGED
#   severity: HIGH
#   attack: T1195.002
#   incidents: [technique only]
#   false_positives: Projects that were handed over.
#   solution: Ask the project whether the new publisher is its own.
#   needs: pep740Verification with earlier releases in pip-install
deny contains msg if {
	some v in _verifications
	v.earlier.publisherChanged == true
	msg := sprintf(
		"%s:SIGN_PUBLISHER_CHANGED: \"%s\" was published by another than the release before it: %s",
		[_changed_severity(v), _file(v), text.safe(concat("; ", _changes(v)))],
	)
}

# METADATA
# title: The attested repository is not the stated one
# description: >-
#   The metadata names a repository of the same forge, and the file was published from another. HIGH
#   where the publisher is also another than before, LOW for another repository of the same owner.
# custom:
#   id: SIGN_REPO_MISMATCH
#   severity: HIGH
#   attack: T1036.005
#   incidents: [technique only]
#   false_positives: Renamed organisations and metadata that nobody updated; MEDIUM.
#   solution: Look which repository the project develops in.
#   needs: pep740Verification and project URLs in pip-install
deny contains msg if {
	some v in _verifications
	v.status == "verified"
	repository := lower(distributions.str(v, "repository"))
	stated := _stated(v)
	count(stated) > 0
	not repository in stated
	msg := sprintf(
		"%s:SIGN_REPO_MISMATCH: \"%s\" was published from \"%s\", its metadata names \"%s\"",
		[
			_mismatch_severity(v, repository, stated),
			_file(v),
			text.safe(repository),
			text.safe(concat("\", \"", sort(stated))),
		],
	)
}

# METADATA
# title: An attestation is missing that earlier releases had
# description: >-
#   At least two of the releases before it had attestations, and no file of this one has. A stolen
#   upload token leaves this trace. MEDIUM where only one had.
# custom:
#   id: SIGN_MISSING_REGRESSION
#   severity: HIGH
#   attack: T1195.002
#   incidents: [litellm 1.82.7, bittensor-wallet 4.0.2, cline 2.3.0]
#   false_positives: A maintainer who published by hand for once.
#   solution: Compare the file with the repository, or take the release before it.
#   needs: pep740Verification with earlier releases in pip-install
deny contains msg if {
	some v in _verifications
	v.hasAttestation == false
	attested := [r | some r in v.earlier.releases; r.status in {"offered", "verified"}]
	count(attested) > 0
	not _partly(v)
	msg := sprintf(
		"%s:SIGN_MISSING_REGRESSION: \"%s\" has no publish attestation; %d of the %d releases before it had",
		[_regression_severity(attested), _file(v), count(attested), count(v.earlier.releases)],
	)
}

# METADATA
# title: Only some files of a release are attested
# description: The index offers attestations of some files of the release and of others not.
# custom:
#   id: SIGN_PARTIAL
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [technique only]
#   false_positives: Wheels that were built and uploaded later by hand.
#   solution: Prefer the attested files.
#   needs: indexHistory in pip-install
deny contains msg if {
	some v in _verifications
	_partly(v)
	this := distributions.history(distributions.normal(distributions.str(v, "package"))).this
	msg := sprintf(
		"MEDIUM:SIGN_PARTIAL: %v of the %v files of the release of \"%s\" have a publish attestation%s",
		[this.provenance, this.files, _file(v), _own_part(v)],
	)
}

# METADATA
# title: Another workflow than before
# description: The release was signed by another workflow of the same repository than the release before it.
# custom:
#   id: SIGN_WORKFLOW_CHANGED
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [ultralytics 8.3.41, elementary-data 0.23.3]
#   false_positives: Workflows that were renamed.
#   solution: Read the workflow that published the file.
#   needs: pep740Verification with earlier releases in pip-install
deny contains msg if {
	some v in _verifications
	not v.earlier.publisherChanged == true
	some change in _changes(v)
	startswith(change, "workflow: ")
	msg := sprintf("MEDIUM:SIGN_WORKFLOW_CHANGED: \"%s\" has another %s", [_file(v), text.safe(change)])
}

# METADATA
# title: Published from an unusual place of the repository
# description: >-
#   The attested source is a pull request, or a branch that is neither a main nor a release branch. LOW
#   for the latter.
# custom:
#   id: SIGN_REF_UNUSUAL
#   severity: MEDIUM
#   attack: T1195.002
#   incidents: [ultralytics 8.3.41]
#   false_positives: Projects that publish from branches of their own naming.
#   solution: Look whether the commit is on the main branch.
#   needs: attestations in pip-install
deny contains msg if {
	some v in _verifications
	some a in v.attestations
	a.status == "verified"
	ref := distributions.str(a, "ref")
	severity := _ref_severity(ref)
	msg := sprintf("%s:SIGN_REF_UNUSUAL: \"%s\" was published from \"%s\"", [severity, _file(v), text.safe(ref)])
}

# METADATA
# title: An issuer that is none of the known ones
# description: The certificate of an attestation names an identity provider that indexes do not publish through.
# custom:
#   id: SIGN_UNTRUSTED_ISSUER
#   severity: HIGH
#   attack: T1553.004
#   incidents: [technique only]
#   false_positives: Self-managed forges; add their issuer to the indicators.
#   solution: Find out who signed.
#   needs: attestations in pip-install
deny contains msg if {
	some v in _verifications
	some a in v.attestations
	issuer := distributions.str(a, "issuer")
	issuer != ""
	not issuer in publishers.issuers.urls
	msg := sprintf(
		"HIGH:SIGN_UNTRUSTED_ISSUER: \"%s\" was signed by an identity of \"%s\", through which nobody publishes",
		[_file(v), text.safe(issuer)],
	)
}

# METADATA
# title: No publish attestation
# description: The index offers attestations, and none of this file. Most files have none.
# custom:
#   id: SIGN_NO_ATTESTATION
#   severity: LOW
#   attack: none
#   incidents: [none]
#   false_positives: Most projects publish without.
#   solution: none needed
#   needs: pep740Verification in pip-install
deny contains msg if {
	some v in _verifications
	v.hasAttestation == false
	_offers(v)
	msg := sprintf("LOW:SIGN_NO_ATTESTATION: \"%s\" has no publish attestation", [_file(v)])
}

not_evaluated contains sprintf("%s: the index of \"%s\" offers no attestations", [id, _file(v)]) if {
	some v in _verifications
	not v.hasAttestation == true
	not _offers(v)
	some id in ["SIGN_INVALID", "SIGN_MISSING_REGRESSION", "SIGN_NO_ATTESTATION", "SIGN_PUBLISHER_CHANGED"]
}

not_evaluated contains sprintf("%s: \"%s\": %s", [id, _file(v), text.safe(distributions.str(v, "reason"))]) if {
	some v in _verifications
	v.status == "not evaluated"
	some id in ["SIGN_INVALID", "SIGN_PUBLISHER_CHANGED", "SIGN_REPO_MISMATCH"]
}

not_evaluated contains sprintf("%s: earlier releases of \"%s\" are not known", [id, _file(v)]) if {
	some v in _verifications
	not _compared(v)
	some id in ["SIGN_MISSING_REGRESSION", "SIGN_PUBLISHER_CHANGED", "SIGN_WORKFLOW_CHANGED"]
}

not_evaluated contains sprintf("%s: no attestation was looked for", [id]) if {
	count(_verifications) == 0
	some id in ["SIGN_INVALID", "SIGN_MISSING_REGRESSION", "SIGN_PUBLISHER_CHANGED"]
}

_verifications contains v if {
	some v in input.pep740Verification
	is_object(v)
}

_file(v) := text.safe(distributions.str(v, "filename")) if distributions.str(v, "filename") != ""

_file(v) := text.safe(sprintf("%s %s", [distributions.str(v, "package"), distributions.str(v, "version")])) if {
	distributions.str(v, "filename") == ""
}

_compared(v) if is_array(v.earlier.releases)

# An index offers attestations when it has one of any release of the project.
_offers(v) if {
	facts := distributions.history(distributions.normal(distributions.str(v, "package")))
	silent := {what | some what in facts.notOffered}
	not "provenance" in silent
}

_partly(v) if {
	this := distributions.history(distributions.normal(distributions.str(v, "package"))).this
	this.provenance > 0
	this.provenance < this.files
}

_own_part(v) := "; the installed one has none" if v.hasAttestation == false

_own_part(v) := "" if not v.hasAttestation == false

_changes(v) := [change | some change in v.earlier.changes; is_string(change)]

# Evidence without the word about the owner is judged as if it had changed.
_changed_severity(v) := "HIGH" if not _same_owner(v)

_changed_severity(v) := "MEDIUM" if _same_owner(v)

_same_owner(v) if {
	not v.earlier.ownerChanged == true
	some change in _changes(v)
	found := regex.find_all_string_submatch_n(`^repository: "([^"/]+)/[^"]*", before "([^"/]+)/`, change, 1)
	lower(found[0][1]) == lower(found[0][2])
}

_mismatch_severity(v, _, _) := "HIGH" if {
	v.earlier.publisherChanged == true
	not _same_owner(v)
}

_mismatch_severity(v, repository, stated) := "MEDIUM" if {
	not _suspect(v)
	not _owned(repository, stated)
}

_mismatch_severity(v, repository, stated) := "LOW" if {
	not _suspect(v)
	_owned(repository, stated)
}

_suspect(v) if {
	v.earlier.publisherChanged == true
	not _same_owner(v)
}

_owned(repository, stated) if {
	some other in stated
	split(other, "/")[0] == split(repository, "/")[0]
}

# Repositories that the metadata names on the forge of the publisher, as owner/name.
_stated(v) := {lower(sprintf("%s/%s", [found[0][1], trim_suffix(found[0][2], ".git")])) |
	some p in distributions.packages
	distributions.key(p) == distributions.normal(distributions.str(v, "package"))
	some url in array.concat([distributions.str(p, "homePage")], [u | some u in p.projectUrls])
	is_string(url)
	some forge in publishers.forges
	forge.kind == v.publisherKind
	found := regex.find_all_string_submatch_n(
		sprintf(`(?i)^(?:git\+)?https?://(?:www\.)?%s/([^/?#]+)/([^/?#]+)`, [forge.host]),
		url,
		1,
	)
	count(found) == 1
	not lower(found[0][1]) in forge.reserved
}

_regression_severity(attested) := "HIGH" if count(attested) >= 2

_regression_severity(attested) := "MEDIUM" if count(attested) < 2

_ref_severity(ref) := "MEDIUM" if startswith(ref, "refs/pull/")

_ref_severity(ref) := "MEDIUM" if startswith(ref, "refs/merge-requests/")

_ref_severity(ref) := "LOW" if {
	startswith(ref, "refs/heads/")
	not regex.match(publishers.branches.pattern, ref)
}
