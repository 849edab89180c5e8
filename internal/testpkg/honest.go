package testpkg

// version is the version of every package of the catalogue.
const version = "1.0"

// Honest returns packages that install and import without anything to report.
// All but testpkg-cext, whose build requires setuptools, install offline.
func Honest() []Package {
	return append(honestWheels(),
		inTreePackage("an sdist that builds itself, offline",
			InTree{Wheel: Wheel{
				Name: "testpkg-intree", Version: version, Files: module("testpkg_intree", "ANSWER = 42\n"),
			}}, "testpkg_intree"),
		compiledPackage(),
		setuptoolsPackage(),
	)
}

func honestWheels() []Package {
	requiring := wheelPackage("a wheel that requires testpkg-plain",
		Wheel{
			Name: "testpkg-requiring", Version: version, Requires: []string{"testpkg-plain>=1"},
			Files: module("testpkg_requiring", "import testpkg_plain\n"),
		}, "testpkg_requiring")
	requiring.Needs = []string{"testpkg-plain"}
	meta := wheelPackage("a metapackage: requirements and no module",
		Wheel{Name: "testpkg-meta", Version: version, Requires: []string{"testpkg-plain"}})
	meta.Needs = []string{"testpkg-plain"}
	return []Package{
		wheelPackage("a wheel with one pure Python package",
			Wheel{
				Name: "testpkg-plain", Version: version, Files: module("testpkg_plain", "ANSWER = 42\n"),
				Metadata: []string{"Summary: a plain test package", "License: Apache-2.0", "Requires-Python: >=3.8"},
			}, "testpkg_plain"),
		requiring,
		meta,
		wheelPackage("a distribution without modules and without requirements",
			Wheel{Name: "testpkg-empty", Version: version}),
		wheelPackage("a single-module wheel: a .py file at the top of site-packages",
			Wheel{
				Name: "testpkg-module", Version: version,
				Files: map[string]string{"testpkg_module.py": "ANSWER = 42\n"},
			}, "testpkg_module"),
		wheelPackage("a wheel with a console script, and files in the scripts and data schemes",
			Wheel{
				Name: "testpkg-script", Version: version,
				Files:   module("testpkg_script", "def main():\n    print('testpkg-script 1.0')\n"),
				Scripts: map[string]string{"testpkg-script": "testpkg_script:main"},
				Data: map[string]string{
					"scripts/testpkg-data-script": "#!python\nprint('from the scripts scheme')\n",
					"data/share/testpkg/data.txt": "from the data scheme\n",
				},
			}, "testpkg_script"),
		wheelPackage("a wheel whose modules are named unlike the project, as PyYAML's are",
			Wheel{
				Name: "TestPkg.Other-Name", Version: version,
				Files: map[string]string{"tpname/__init__.py": "ANSWER = 42\n", "_tpname.py": ""},
			}, "_tpname", "tpname"),
		wheelPackage("a PEP 420 namespace package: no __init__.py at the top",
			Wheel{
				Name: "testpkg-namespace", Version: version,
				Files: map[string]string{"testpkg_ns/part/__init__.py": "ANSWER = 42\n"},
			}, "testpkg_ns.part"),
	}
}

// answerSource returns the C code of an extension module with one function.
func answerSource(name string) string {
	return `#include <Python.h>

static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }

static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "` + name + `", NULL, -1, methods};

PyMODINIT_FUNC PyInit_` + name + `(void) { return PyModule_Create(&definition); }
`
}

// compiledPackage needs a C compiler and the interpreter's headers.
func compiledPackage() Package {
	return inTreePackage("an sdist with a C extension that builds itself, offline, with the system's compiler",
		InTree{
			Wheel: Wheel{
				Name: "testpkg-cext-intree", Version: version,
				Files: module("testpkg_cext_intree", "from testpkg_cext_intree._answer import answer\n"),
			},
			Sources:    map[string]string{"ext/answer.c": answerSource("_answer")},
			Extensions: []Extension{{Module: "testpkg_cext_intree._answer", Source: "ext/answer.c"}},
		}, "testpkg_cext_intree")
}

func setuptoolsPackage() Package {
	return Package{
		Name: "testpkg-cext", Version: version, Kind: KindSdist,
		Doc:     "an sdist with a C extension and a setup.py; its build requires setuptools",
		Modules: []string{"testpkg_cext"},
		Archive: Sdist{
			Name: "testpkg-cext", Version: version,
			SetupPy: `from setuptools import Extension, setup

setup(
    name="testpkg-cext",
    version="1.0",
    packages=["testpkg_cext"],
    ext_modules=[Extension("testpkg_cext._answer", ["ext/answer.c"])],
)
`,
			PyProject: "[build-system]\nrequires = [\"setuptools>=61\"]\nbuild-backend = \"setuptools.build_meta\"\n",
			Files: map[string]string{
				"testpkg_cext/__init__.py": "from testpkg_cext._answer import answer\n",
				"ext/answer.c":             answerSource("_answer"),
			},
		},
	}
}

// module returns the files of a package with that __init__.py.
func module(name, source string) map[string]string {
	return map[string]string{name + "/__init__.py": source}
}
