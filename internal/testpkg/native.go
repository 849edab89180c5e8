package testpkg

import "fmt"

// Native are honest sdists that are built by compilers: one from C and C++, one
// from Rust with a dependency that it carries, as vendored ones are. They need no
// package index; Python loads what was built with ctypes, so no headers either.
func Native() []Package {
	return []Package{native("testpkg-native", "from C and C++", nativeBuild, nativeSources()), native("testpkg-rust", "from Rust", rustBuild, rustSources())}
}

// native is an sdist whose hook builds "libanswer.so" into the module's directory.
func native(name, from, build string, sources map[string]string) Package {
	mod := escapeName(name)
	t := InTree{
		Wheel:   Wheel{Name: name, Version: version, Files: module(mod, loadAnswer)},
		Hook:    fmt.Sprintf("OUT = \"src/%s/libanswer.so\"\n%s", mod, build),
		Sources: sources,
	}
	return inTreePackage("is built "+from, t, mod)
}

// loadAnswer fails the import when what was built does not work.
const loadAnswer = `import ctypes
import os

_library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "libanswer.so"))
if _library.answer() != 42:
    raise ImportError("the library gives another answer")
`

const nativeBuild = `import subprocess

subprocess.run(["cc", "-O2", "-fPIC", "-c", "native/half.c", "-o", "half.o"], check=True)
subprocess.run(["c++", "-O2", "-fPIC", "-shared", "native/answer.cpp", "half.o", "-o", OUT], check=True)
`

func nativeSources() map[string]string {
	return map[string]string{
		"native/half.c": "int half(void) { return 21; }\n",
		"native/answer.cpp": `#include <numeric>
#include <string>
#include <vector>

extern "C" int half(void);

extern "C" int answer(void) {
    std::vector<int> halves{half(), half()};
    std::string text = std::to_string(std::accumulate(halves.begin(), halves.end(), 0));
    return std::stoi(text);
}
`,
	}
}

const rustBuild = `import shutil
import subprocess

subprocess.run(["cargo", "build", "--offline", "--release", "--manifest-path", "rust/Cargo.toml"], check=True)
shutil.copy("rust/target/release/libanswer.so", OUT)
`

func rustSources() map[string]string {
	return map[string]string{
		"rust/Cargo.toml": `[package]
name = "answer"
version = "1.0.0"
edition = "2021"

[lib]
crate-type = ["cdylib"]

[dependencies]
half = { path = "vendor/half" }
`,
		"rust/Cargo.lock": `version = 3

[[package]]
name = "answer"
version = "1.0.0"
dependencies = ["half"]

[[package]]
name = "half"
version = "1.0.0"
`,
		"rust/src/lib.rs": `#[no_mangle]
pub extern "C" fn answer() -> i32 {
    half::half() * 2
}
`,
		"rust/vendor/half/Cargo.toml": "[package]\nname = \"half\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
		"rust/vendor/half/src/lib.rs": "pub fn half() -> i32 {\n    21\n}\n",
	}
}
