package licence

import (
	"strings"
	"sync"
)

// FromName returns the expression that a licence field spells: an SPDX
// expression, or a common name that stands for exactly one identifier. "BSD",
// "Apache" and other names of a family have none.
func FromName(name string) (Expression, bool) {
	if e, err := Parse(name); err == nil {
		return e, true
	}
	id, ok := commonNames()[plain(name)]
	return Expression{term: id}, ok
}

// plain takes from a name what people write differently: case, punctuation, and
// words that distinguish nothing.
func plain(name string) string {
	if len(name) > maxExpression {
		return ""
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '+'
	})
	var kept []string
	for _, w := range words {
		switch w = strings.Trim(w, "."); w {
		case "", "the", "license", "licence", "licensed", "under", "version", "software", "v", "terms", "of":
		default:
			// "v2.0" and "2.0" are the same word.
			if len(w) > 1 && w[0] == 'v' && w[1] >= '0' && w[1] <= '9' {
				w = w[1:]
			}
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// commonNames are names as [plain] leaves them.
var commonNames = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"apache 2.0": "Apache-2.0", "apache 2": "Apache-2.0", "apache2": "Apache-2.0", "apache2.0": "Apache-2.0", "asl 2.0": "Apache-2.0", "al2": "Apache-2.0",
		"apache 2.0 apache 2.0": "Apache-2.0", "apache foundation 2.0": "Apache-2.0",
		"mit": "MIT", "mit mit": "MIT", "expat": "MIT", "mit expat": "MIT", "expat mit": "MIT",
		"bsd 3 clause": "BSD-3-Clause", "3 clause bsd": "BSD-3-Clause", "bsd 3": "BSD-3-Clause", "bsd3": "BSD-3-Clause", "new bsd": "BSD-3-Clause",
		"modified bsd": "BSD-3-Clause", "revised bsd": "BSD-3-Clause", "bsd 3clause": "BSD-3-Clause", "three clause bsd": "BSD-3-Clause",
		"new bsd 3 clause": "BSD-3-Clause", "bsd new": "BSD-3-Clause",
		"bsd 2 clause": "BSD-2-Clause", "2 clause bsd": "BSD-2-Clause", "bsd 2": "BSD-2-Clause", "simplified bsd": "BSD-2-Clause", "freebsd": "BSD-2-Clause",
		"bsd 2clause": "BSD-2-Clause", "two clause bsd": "BSD-2-Clause",
		"isc": "ISC", "iscl": "ISC", "isc iscl": "ISC", "zlib libpng": "Zlib", "unlicense": "Unlicense", "unlicense unlicense": "Unlicense",
		"mpl 2.0": "MPL-2.0", "mpl2.0": "MPL-2.0", "mpl 2": "MPL-2.0", "mpl2": "MPL-2.0", "mozilla public 2.0": "MPL-2.0", "mozilla public 2.0 mpl 2.0": "MPL-2.0", "mpl 1.1": "MPL-1.1",
		"cc0": "CC0-1.0", "cc0 1.0": "CC0-1.0", "cc0 1.0 universal": "CC0-1.0", "boost 1.0": "BSL-1.0",
		"gplv2": "GPL-2.0-only", "gpl 2": "GPL-2.0-only", "gpl 2.0": "GPL-2.0-only", "gnu gpl 2": "GPL-2.0-only",
		"gplv2+": "GPL-2.0-or-later", "gpl 2+": "GPL-2.0-or-later", "gpl 2 or later": "GPL-2.0-or-later", "gplv2 or later": "GPL-2.0-or-later",
		"gplv3": "GPL-3.0-only", "gpl 3": "GPL-3.0-only", "gpl 3.0": "GPL-3.0-only", "gnu gpl 3": "GPL-3.0-only", "gnu gplv3": "GPL-3.0-only",
		"gplv3+": "GPL-3.0-or-later", "gpl 3+": "GPL-3.0-or-later", "gpl 3 or later": "GPL-3.0-or-later", "gplv3 or later": "GPL-3.0-or-later",
		"lgplv2.1": "LGPL-2.1-only", "lgpl 2.1": "LGPL-2.1-only", "lgplv2.1+": "LGPL-2.1-or-later", "lgpl 2.1+": "LGPL-2.1-or-later",
		"lgplv3": "LGPL-3.0-only", "lgpl 3": "LGPL-3.0-only", "lgpl 3.0": "LGPL-3.0-only", "lgplv3+": "LGPL-3.0-or-later", "lgpl 3+": "LGPL-3.0-or-later",
		"agplv3": "AGPL-3.0-only", "agpl 3": "AGPL-3.0-only", "agpl 3.0": "AGPL-3.0-only", "agplv3+": "AGPL-3.0-or-later", "agpl 3+": "AGPL-3.0-or-later",
		"hpnd": "HPND", "psf 2.0": "PSF-2.0", "zpl 2.1": "ZPL-2.1", "wtfpl": "WTFPL", "mit cmu": "MIT-CMU", "mit 0": "MIT-0",
	}
})

// FromClassifier maps the trove classifiers that stand for exactly one
// identifier. "BSD License", "GNU General Public License (GPL)" and the like name
// a family and have none. name is the last part of a licence classifier, "" for
// any other classifier and for one that says only who approved.
func FromClassifier(classifier string) (id, name string) {
	if !strings.HasPrefix(classifier, "License ::") {
		return "", ""
	}
	name = strings.TrimSpace(classifier[strings.LastIndex(classifier, "::")+2:])
	if name == "OSI Approved" {
		return "", ""
	}
	return classifiers()[name], name
}

// classifiers are licence classifiers by their last part.
var classifiers = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"Blue Oak Model License (BlueOak-1.0.0)":                          "BlueOak-1.0.0",
		"Boost Software License 1.0 (BSL-1.0)":                            "BSL-1.0",
		"CC0 1.0 Universal (CC0 1.0) Public Domain Dedication":            "CC0-1.0",
		"CEA CNRS Inria Logiciel Libre License, version 2.1 (CeCILL-2.1)": "CECILL-2.1",
		"CMU License (MIT-CMU)":                                           "MIT-CMU",
		"Common Development and Distribution License 1.0 (CDDL-1.0)":      "CDDL-1.0",
		"Eclipse Public License 1.0 (EPL-1.0)":                            "EPL-1.0",
		"Eclipse Public License 2.0 (EPL-2.0)":                            "EPL-2.0",
		"Educational Community License, Version 2.0 (ECL-2.0)":            "ECL-2.0",
		"European Union Public Licence 1.0 (EUPL 1.0)":                    "EUPL-1.0",
		"European Union Public Licence 1.1 (EUPL 1.1)":                    "EUPL-1.1",
		"European Union Public Licence 1.2 (EUPL 1.2)":                    "EUPL-1.2",
		"GNU Affero General Public License v3":                            "AGPL-3.0-only",
		"GNU Affero General Public License v3 or later (AGPLv3+)":         "AGPL-3.0-or-later",
		"GNU General Public License v2 (GPLv2)":                           "GPL-2.0-only",
		"GNU General Public License v2 or later (GPLv2+)":                 "GPL-2.0-or-later",
		"GNU General Public License v3 (GPLv3)":                           "GPL-3.0-only",
		"GNU General Public License v3 or later (GPLv3+)":                 "GPL-3.0-or-later",
		"GNU Lesser General Public License v2 (LGPLv2)":                   "LGPL-2.0-only",
		"GNU Lesser General Public License v2 or later (LGPLv2+)":         "LGPL-2.0-or-later",
		"GNU Lesser General Public License v3 (LGPLv3)":                   "LGPL-3.0-only",
		"GNU Lesser General Public License v3 or later (LGPLv3+)":         "LGPL-3.0-or-later",
		"Historical Permission Notice and Disclaimer (HPND)":              "HPND",
		"ISC License (ISCL)":                                              "ISC",
		"MIT License":                                                     "MIT",
		"MIT No Attribution License (MIT-0)":                              "MIT-0",
		"Mozilla Public License 1.0 (MPL)":                                "MPL-1.0",
		"Mozilla Public License 1.1 (MPL 1.1)":                            "MPL-1.1",
		"Mozilla Public License 2.0 (MPL 2.0)":                            "MPL-2.0",
		"Mulan Permissive Software License v2 (MulanPSL-2.0)":             "MulanPSL-2.0",
		"Open Software License 3.0 (OSL-3.0)":                             "OSL-3.0",
		"PostgreSQL License":                                              "PostgreSQL",
		"SIL Open Font License 1.1 (OFL-1.1)":                             "OFL-1.1",
		"The Unlicense (Unlicense)":                                       "Unlicense",
		"Universal Permissive License (UPL)":                              "UPL-1.0",
		"University of Illinois/NCSA Open Source License":                 "NCSA",
		"Vovida Software License 1.0":                                     "VSL-1.0",
		"W3C License":                                                     "W3C",
		"Zero-Clause BSD (0BSD)":                                          "0BSD",
		"zlib/libpng License":                                             "Zlib",
	}
})
