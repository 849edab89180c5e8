package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// payloadFile is the file of a scenario that goes where its channel says.
const payloadFile = "payload.py"

// Channels by which payload.py comes to run.
const (
	channelInit      = "__init__"      // the package's __init__.py
	channelSubmodule = "submodule"     // a module that __init__.py imports
	channelEncoded   = "encoded"       // base64 that __init__.py decodes and runs
	channelPth       = ".pth"          // a .pth file imports it, at every start of the interpreter
	channelSetup     = "setup.py"      // above setup(), with setuptools
	channelCommand   = "cmdclass"      // in a build command of setup.py
	channelBackend   = "build backend" // a backend of its own, in the sdist
)

// payloadChannels are those of a kind of distribution file.
func payloadChannels(kind string) []string {
	if kind == kindWheel {
		return []string{channelInit, channelSubmodule, channelEncoded, channelPth}
	}
	return []string{channelSetup, channelCommand, channelBackend}
}

// place moves payload.py to its channel and adds what every distribution has.
func (p *project) place() error {
	payload, ok := p.own[payloadFile]
	delete(p.own, payloadFile)
	start := p.module + "/__init__.py"
	if ok {
		if err := p.carry(payload, start); err != nil {
			return fmt.Errorf("scenario %s: %w", p.ID, err)
		}
	}
	for name := range p.own {
		if strings.HasPrefix(name, p.module+"/") || strings.HasPrefix(name, p.module+".") {
			return nil
		}
	}
	p.own[start] = ""
	return nil
}

func (p *project) carry(payload, start string) error {
	if earlier, taken := p.own[start]; taken && p.channel != channelPth && p.Kind == kindWheel {
		return fmt.Errorf("both %s and %q (%d bytes)", payloadFile, start, len(earlier))
	}
	hook := "_" + p.hook
	switch p.channel {
	case channelInit:
		p.own[start] = payload
	case channelSubmodule:
		p.own[start], p.own[p.module+"/"+hook+".py"] = "from . import "+hook+"\n", payload
	case channelEncoded:
		p.own[start] = fmt.Sprintf("import base64\n\nexec(base64.b64decode(%q).decode())\n", base64.StdEncoding.EncodeToString([]byte(payload)))
	case channelPth:
		// A name of its own: importing the package does nothing more.
		p.own[hook+p.module+".py"], p.own[p.module+"_hook.pth"] = payload, "import "+hook+p.module+"\n"
	case channelSetup:
		p.own["setup.py"] = payload + "\n\n" + setupCall(p, "")
	case channelCommand:
		p.own["setup.py"] = "from setuptools.command.build_py import build_py\n\n\nclass Build(build_py):\n    def run(self):\n        exec(compile(PAYLOAD, \"setup.py\", \"exec\"), {})\n        super().run()\n\n\n" +
			fmt.Sprintf("PAYLOAD = %s\n\n", pythonText(payload)) + setupCall(p, "cmdclass={\"build_py\": Build}, ")
	case channelBackend:
		p.own[payloadFile] = payload // the builder makes it the backend's hook
	}
	return nil
}

// setupCall is the end of a setup.py.
func setupCall(p *project, more string) string {
	return fmt.Sprintf("from setuptools import setup\n\nsetup(name=%q, version=%q, packages=[%q], %s)\n", p.Distribution, p.Version, p.module, strings.TrimSuffix(more, ", "))
}

// pythonText is a literal of Python, in ASCII.
func pythonText(text string) string {
	return strconv.QuoteToASCII(text)
}
