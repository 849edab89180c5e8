package policy

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"pip-witness/attestation"
)

//go:embed schema/*.json
var schemas embed.FS

// nobody is the name under which an input has no other steps, or no external
// attestations: the engine takes an object without properties for one that may have
// any, and shows this name where a module asks for one.
const (
	nobody     = "none: the step has no attestationsFrom"
	noExternal = "none: the policy names no external attestation"
)

// inputShape is what one module is asked about.
type inputShape struct {
	// attestation is the type URI, or the short type, that it judges; empty where
	// that is not known, and then the fields of every predicate may be there.
	attestation string
	// steps are those that it may read; nil where that is not known.
	steps []string
	// types are type URIs beside those that are known: of the policy's own.
	types []string
	// external are the names of attestations outside any step; nil where they are not
	// known.
	external []string
}

// schemaDocument is one file of policy/schema.
type schemaDocument struct {
	Definitions map[string]any   `json:"definitions"`
	AllOf       []map[string]any `json:"allOf"`
}

// object is a schema of a closed object.
func object(properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

func anyObject() map[string]any { return map[string]any{"type": "object"} }

// text and anything are schemas too.
func text() map[string]any { return map[string]any{"type": "string"} }

func anything() map[string]any { return map[string]any{} }

// inputSchema is the JSON schema of a module's input: the contract of rego-input,
// with the predicates' own types. Predicates are closed objects, maps are open.
func inputSchema(shape inputShape) (map[string]any, error) {
	definitions := map[string]any{}
	predicates := map[string]map[string]any{}
	for _, t := range attestation.Types() {
		data, err := schemas.ReadFile("schema/" + t.Name + ".json")
		if err != nil {
			return nil, fmt.Errorf("read schema %q: %w", t.Name, err)
		}
		var d schemaDocument
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("read schema %q: %w", t.Name, err)
		}
		if len(d.AllOf) != 1 {
			return nil, fmt.Errorf("read schema %q: it is not as it is generated", t.Name)
		}
		maps.Copy(definitions, d.Definitions)
		predicates[t.Name] = d.AllOf[0]
	}
	coverage := map[string]any{"$ref": "#/definitions/command-run.Coverage"}
	properties := map[string]any{}
	bound, known := predicateOf(shape.attestation, predicates)
	for name, predicate := range predicates {
		if shape.attestation != "" && !(known && attestation.ShortName(resolved(shape.attestation)) == name) {
			continue
		}
		for field, schema := range fieldsOf(predicate, definitions) {
			if _, taken := properties[field]; taken {
				schema = anything()
			}
			properties[field] = schema
		}
	}
	for name, predicate := range predicates {
		properties[name] = predicate
	}
	for _, uri := range shape.types {
		if _, ok := predicates[attestation.ShortName(uri)]; !ok {
			properties[attestation.ShortName(uri)] = anything()
		}
	}
	steps := map[string]any{}
	for _, name := range shape.steps {
		steps[name] = object(stepSchema(predicates, shape.types, coverage))
	}
	properties["attestation"] = bound
	properties["coverage"] = coverage
	properties["steps"] = orOpen(shape.steps, steps, nobody)
	properties["external"] = anyObject()
	if shape.external != nil {
		external := map[string]any{}
		for _, name := range shape.external {
			external[name] = anything()
		}
		properties["external"] = orOpen(shape.external, external, noExternal)
	}
	properties["step"] = object(map[string]any{
		"name": text(), "collection": text(),
		"functionary": object(map[string]any{"type": text(), "publickeyid": text(), "subject": text()}),
	})
	root := object(properties)
	root["definitions"] = definitions
	return root, nil
}

// orOpen is an object with the properties; an open one when it is not known what
// there is, and one with a name that explains itself when there is nothing.
func orOpen(names []string, properties map[string]any, explanation string) map[string]any {
	switch {
	case names == nil:
		return anyObject()
	case len(names) == 0:
		return object(map[string]any{explanation: anything()})
	}
	return object(properties)
}

// stepSchema are the fields of input.steps["STEP"]: each predicate under its short
// name and under every URI that it may be stored with.
func stepSchema(predicates map[string]map[string]any, types []string, coverage map[string]any) map[string]any {
	fields := map[string]any{"coverage": coverage}
	for _, t := range attestation.Types() {
		for _, key := range slices.Concat([]string{t.Name, t.URI}, t.Aliases) {
			fields[key] = predicates[t.Name]
		}
	}
	for _, uri := range types {
		for _, key := range []string{uri, attestation.ShortName(uri)} {
			if _, ok := fields[key]; !ok {
				fields[key] = anything()
			}
		}
	}
	return fields
}

// resolved is the URI of a type, or the type as it is when there is none.
func resolved(name string) string {
	uri, err := attestation.ResolveShort(name)
	if err != nil {
		return name
	}
	return uri
}

func predicateOf(name string, predicates map[string]map[string]any) (map[string]any, bool) {
	predicate, ok := predicates[attestation.ShortName(resolved(name))]
	if name == "" || !ok {
		return anything(), false
	}
	return predicate, true
}

// fieldsOf are the fields of a predicate that is a closed object; a map has none
// that could be named.
func fieldsOf(predicate map[string]any, definitions map[string]any) map[string]any {
	ref, _ := predicate["$ref"].(string)
	definition, _ := definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	fields, _ := definition["properties"].(map[string]any)
	return fields
}

// schemaSet is the schema as the engine's compiler takes it.
func schemaSet(shape inputShape) (*ast.SchemaSet, error) {
	schema, err := inputSchema(shape)
	if err != nil {
		return nil, err
	}
	set := ast.NewSchemaSet()
	set.Put(ast.SchemaRootRef, schema)
	return set, nil
}
