// Package pypi reads what the Python packaging standards define: project
// names, versions, requirements and their markers, distribution file names,
// the metadata that an installer leaves behind, the installer's own report,
// and requirement files. It runs no program, opens no connection and evaluates
// nothing: everything it reads may come from a hostile package, so every read
// is bounded (see limits.go) and stays below its root.
package pypi
