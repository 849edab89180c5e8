package sbom

import (
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"pip-witness/internal/pypi"
)

// maxLicenceName is the length up to which a licence field is a name; longer
// ones are the text itself, whose first line is taken.
const maxLicenceName = 200

// licences gives what the metadata declares, in the order in which it can be
// trusted to be exact: SPDX expression, licence field, classifiers. CycloneDX
// allows one expression, or any number of identifiers and names, not both.
func licences(m pypi.Metadata) *cdx.Licenses {
	if e := strings.TrimSpace(m.LicenseExpression); e != "" {
		if id, ok := spdxID(e); ok {
			return &cdx.Licenses{{License: &cdx.License{ID: id, Acknowledgement: cdx.LicenseAcknowledgementDeclared}}}
		}
		ack := cdx.LicenseAcknowledgementDeclared
		return &cdx.Licenses{{Expression: e, Acknowledgement: &ack}}
	}
	var out cdx.Licenses
	seen := map[string]bool{}
	add := func(id, name string) {
		if !seen[id+name] {
			seen[id+name] = true
			out = append(out, cdx.LicenseChoice{License: &cdx.License{ID: id, Name: name, Acknowledgement: cdx.LicenseAcknowledgementDeclared}})
		}
	}
	for _, c := range m.Classifiers {
		if !strings.HasPrefix(c, "License ::") {
			continue
		}
		if id, ok := classifierID(c); ok {
			add(id, "")
		} else if name := c[strings.LastIndex(c, ":")+1:]; strings.TrimSpace(name) != "OSI Approved" {
			add("", strings.TrimSpace(name))
		}
	}
	name, _, more := strings.Cut(strings.TrimSpace(m.License), "\n")
	name = strings.TrimSpace(name)
	if name != "" && name != "UNKNOWN" && (len(out) == 0 || !more && len(name) <= maxLicenceName) {
		if id, ok := spdxID(name); ok {
			add(id, "")
		} else if len(out) == 0 {
			add("", clip(name))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &out
}

func clip(s string) string {
	if len(s) > maxLicenceName {
		s = s[:maxLicenceName]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// spdxID returns the identifier of the SPDX licence list that a licence field
// spells, case aside. It knows the licences that occur among Python packages;
// another one stays a name, which loses nothing.
func spdxID(name string) (string, bool) {
	for _, id := range []string{
		"0BSD", "AFL-2.1", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-1.1", "Apache-2.0", "Artistic-2.0",
		"BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "BSL-1.0", "BlueOak-1.0.0", "CC-BY-3.0", "CC-BY-4.0",
		"CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "CECILL-2.1", "CNRI-Python", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2",
		"GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "HPND", "ISC", "LGPL-2.1-only",
		"LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-1.1", "MPL-2.0", "MS-PL",
		"MulanPSL-2.0", "NCSA", "NIST-PD", "OFL-1.1", "OSL-3.0", "PSF-2.0", "PostgreSQL", "Python-2.0", "Python-2.0.1", "UPL-1.0",
		"Unicode-3.0", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "ZPL-2.1", "Zlib", "bzip2-1.0.6",
	} {
		if strings.EqualFold(id, name) {
			return id, true
		}
	}
	return "", false
}

// classifierID maps the licence classifiers that stand for exactly one SPDX
// identifier. "BSD License", "GNU General Public License (GPL)" and the like
// name a family and have none.
func classifierID(classifier string) (string, bool) {
	id, ok := map[string]string{
		"MIT License":                                                     "MIT",
		"MIT No Attribution License (MIT-0)":                              "MIT-0",
		"Apache Software License":                                         "", // 1.0, 1.1 or 2.0
		"ISC License (ISCL)":                                              "ISC",
		"Mozilla Public License 1.1 (MPL 1.1)":                            "MPL-1.1",
		"Mozilla Public License 2.0 (MPL 2.0)":                            "MPL-2.0",
		"The Unlicense (Unlicense)":                                       "Unlicense",
		"zlib/libpng License":                                             "Zlib",
		"Boost Software License 1.0 (BSL-1.0)":                            "BSL-1.0",
		"Historical Permission Notice and Disclaimer (HPND)":              "HPND",
		"Universal Permissive License (UPL)":                              "UPL-1.0",
		"SIL Open Font License 1.1 (OFL-1.1)":                             "OFL-1.1",
		"PostgreSQL License":                                              "PostgreSQL",
		"Eclipse Public License 1.0 (EPL-1.0)":                            "EPL-1.0",
		"Eclipse Public License 2.0 (EPL-2.0)":                            "EPL-2.0",
		"European Union Public Licence 1.1 (EUPL 1.1)":                    "EUPL-1.1",
		"European Union Public Licence 1.2 (EUPL 1.2)":                    "EUPL-1.2",
		"GNU Affero General Public License v3":                            "AGPL-3.0-only",
		"GNU Affero General Public License v3 or later (AGPLv3+)":         "AGPL-3.0-or-later",
		"GNU General Public License v2 (GPLv2)":                           "GPL-2.0-only",
		"GNU General Public License v2 or later (GPLv2+)":                 "GPL-2.0-or-later",
		"GNU General Public License v3 (GPLv3)":                           "GPL-3.0-only",
		"GNU General Public License v3 or later (GPLv3+)":                 "GPL-3.0-or-later",
		"GNU Lesser General Public License v3 (LGPLv3)":                   "LGPL-3.0-only",
		"GNU Lesser General Public License v3 or later (LGPLv3+)":         "LGPL-3.0-or-later",
		"CC0 1.0 Universal (CC0 1.0) Public Domain Dedication":            "CC0-1.0",
		"Blue Oak Model License (BlueOak-1.0.0)":                          "BlueOak-1.0.0",
		"Mulan Permissive Software License v2 (MulanPSL-2.0)":             "MulanPSL-2.0",
		"University of Illinois/NCSA Open Source License":                 "NCSA",
		"Academic Free License (AFL)":                                     "",
		"CEA CNRS Inria Logiciel Libre License, version 2.1 (CeCILL-2.1)": "CECILL-2.1",
		"Common Development and Distribution License 1.0 (CDDL-1.0)":      "CDDL-1.0",
		"Educational Community License, Version 2.0 (ECL-2.0)":            "ECL-2.0",
		"Open Software License 3.0 (OSL-3.0)":                             "OSL-3.0",
		"Vovida Software License 1.0":                                     "VSL-1.0",
		"GNU Library or Lesser General Public License (LGPL)":             "",
		"GNU Lesser General Public License v2 or later (LGPLv2+)":         "LGPL-2.0-or-later",
		"GNU Lesser General Public License v2 (LGPLv2)":                   "LGPL-2.0-only",
		"Zero-Clause BSD (0BSD)":                                          "0BSD",
		"W3C License":                                                     "W3C",
	}[strings.TrimSpace(classifier[strings.LastIndex(classifier, "::")+2:])]
	return id, ok && id != ""
}
