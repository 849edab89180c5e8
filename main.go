// Command pip-witness runs pip install and import under its own system-call
// tracer in a sandbox, signs what it saw, and judges it by a signed policy.
package main

import (
	"os"

	"pip-witness/internal/cli"
	"pip-witness/internal/sandbox"
	"pip-witness/internal/seal"
)

func main() {
	sandbox.Main() // takes over when this process is a part of a sandbox
	seal.Main()    // or holds the key of a run
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
