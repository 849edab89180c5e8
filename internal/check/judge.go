package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"pip-witness/attestation"
	"pip-witness/internal/seal"
	"pip-witness/internal/store"
	"pip-witness/policy"
	"pip-witness/rules"
	"pip-witness/verify"
)

// builtinValidity is how long a built-in policy that was signed for one run is valid.
const builtinValidity = 365 * 24 * time.Hour

// Judgement is what to judge an observation by, and where to put the evidence.
type Judgement struct {
	// Key signs the evidence and, without a Policy, the built-in policy.
	Key seal.Key
	// Policy is a signed policy with the keys that are trusted to sign it; nil
	// takes the built-in one.
	Policy     []byte
	PolicyKeys []attestation.Verifier
	// Directory is where the evidence goes; it is made when absent.
	Directory string
	Compress  bool
	// Timeout bounds the evaluation of each module; 0 takes the default.
	Timeout time.Duration
	// Indicators of the user's own go into the built-in policy.
	Indicators map[string]any
	// Programs are the modules that were compiled for it; nil for none.
	Programs *policy.Programs
	// Version and PolicyURI go into the verification summaries.
	Version   string
	PolicyURI string
}

// Judge signs what was observed, writes the evidence, and verifies what was
// written.
func Judge(ctx context.Context, o *Observation, j Judgement) (*policy.Result, error) {
	started := time.Now()
	directory, err := store.Create(j.Directory, j.Compress)
	if err != nil {
		return nil, err
	}
	if j.Policy == nil {
		if j.Policy, err = BuiltinPolicy(ctx, j.Key, j.Indicators, j.Programs); err != nil {
			return nil, err
		}
		j.PolicyKeys = []attestation.Verifier{j.Key.Public()}
	}
	for _, k := range j.PolicyKeys {
		if public, ok := k.(attestation.PublicKey); ok {
			if err := directory.Write(store.PolicyKeyFile, public.PEM()); err != nil {
				return nil, err
			}
			break
		}
	}
	if err := errors.Join(
		directory.WriteSigned(store.PolicyFile, j.Policy),
		directory.Write(store.FunctionaryFile, j.Key.Public().PEM()),
	); err != nil {
		return nil, err
	}
	request := verify.Request{PolicyEnvelope: j.Policy, PolicyKeys: j.PolicyKeys, Now: time.Now().UTC(), EvalTimeout: j.Timeout, Programs: j.Programs}
	for _, s := range o.Steps {
		document, err := sealStep(ctx, directory, s, j.Key)
		if err != nil {
			return nil, err
		}
		request.Collections = append(request.Collections, document)
	}
	result, err := verify.Verify(ctx, request)
	if err != nil {
		return nil, err
	}
	summaries, err := verify.Summaries(result, verify.SummaryContext{Version: j.Version, PolicyURI: j.PolicyURI, TimeVerified: request.Now})
	if err != nil {
		return nil, err
	}
	if err := WriteSummaries(ctx, summaries, filepath.Join(j.Directory, store.SummaryDir), j.Compress, j.Key); err != nil {
		return nil, err
	}
	o.Timings["verify"] = time.Since(started).Seconds()
	return result, nil
}

// WriteSummaries signs each verification summary and writes it, with its Sigstore
// bundle, into the directory, which is made when there is one to write.
func WriteSummaries(ctx context.Context, summaries []verify.SummaryStatement, path string, compress bool, key attestation.Signer) error {
	if len(summaries) == 0 {
		return nil
	}
	directory, err := store.Create(path, compress)
	if err != nil {
		return err
	}
	written := map[string]bool{}
	for _, s := range summaries {
		envelope, err := attestation.Sign(ctx, attestation.PayloadType, s.Payload, key)
		if err != nil {
			return fmt.Errorf("sign the summary of %q: %w", s.Filename, err)
		}
		// Two indexes may have different files of one name.
		name := store.SummaryFile(s.Filename)
		for i := 2; written[name]; i++ {
			name = store.SummaryFile(fmt.Sprintf("%s.%d", s.Filename, i))
		}
		written[name] = true
		if err := directory.WriteEnvelope(name, envelope); err != nil {
			return fmt.Errorf("write the summary of %q: %w", s.Filename, err)
		}
	}
	return nil
}

// BuiltinPolicyURI names the built-in policy in verification summaries.
const BuiltinPolicyURI = "https://pip-witness.dev/policies/builtin/v1"

// BuiltinPolicy is the built-in policy, compiled with the user's own indicators and
// signed with the run's own key. What is compiled on the way is kept in programs,
// where one is given.
func BuiltinPolicy(ctx context.Context, key seal.Key, indicators map[string]any, programs *policy.Programs) ([]byte, error) {
	now := time.Now().UTC()
	compiled, err := policy.Compile(ctx, policy.Builtin(), policy.Options{
		Functionaries: []attestation.PublicKey{key.Public()}, Expires: now.Add(builtinValidity), Modules: rules.FS, Now: now, Indicators: indicators, Programs: programs,
	})
	if err != nil {
		return nil, fmt.Errorf("compile the built-in policy: %w", err)
	}
	payload, err := compiled.Marshal()
	if err != nil {
		return nil, fmt.Errorf("compile the built-in policy: %w", err)
	}
	envelope, err := policy.Sign(ctx, payload, key)
	if err != nil {
		return nil, fmt.Errorf("sign the built-in policy: %w", err)
	}
	return envelope.Marshal()
}

// sealStep signs one collection, writes it and its exports, and returns it as it
// lies there.
func sealStep(ctx context.Context, directory store.Directory, s StepEvidence, key seal.Key) (verify.Document, error) {
	envelope, err := attestation.Sign(ctx, attestation.PayloadType, s.Collection.Payload, key)
	if err != nil {
		return verify.Document{}, fmt.Errorf("sign step %q: %w", s.Name, err)
	}
	path, err := directory.WriteCollection(s.Name, envelope)
	if err != nil {
		return verify.Document{}, err
	}
	statement, err := attestation.ParseStatement(envelope.Payload)
	if err != nil {
		return verify.Document{}, err
	}
	collection, err := attestation.ParseCollection(statement)
	if err != nil {
		return verify.Document{}, err
	}
	for _, export := range [...][2]string{{"sbom", store.SBOMFile}, {"slsa", store.SLSAFile}} {
		if _, err := directory.Export(collection, export[0], export[1]); err != nil {
			return verify.Document{}, err
		}
	}
	if err := sealProvenance(ctx, directory, statement.Subject, collection, key); err != nil {
		return verify.Document{}, err
	}
	data, err := envelope.Marshal()
	if err != nil {
		return verify.Document{}, err
	}
	return verify.Document{Name: path, Data: data}, nil
}

// sealProvenance signs the provenance of a collection that has one as a statement
// of its own, about the same subjects and with the bytes that the collection has:
// readers of provenance do not know collections.
func sealProvenance(ctx context.Context, directory store.Directory, subjects []attestation.Subject, c attestation.Collection, key attestation.Signer) error {
	predicate := c.Predicate("slsa")
	if predicate == nil {
		return nil
	}
	payload, err := json.Marshal(attestation.Statement{
		Type: attestation.StatementType, Subject: subjects, PredicateType: attestation.TypeSLSA, Predicate: predicate,
	})
	if err != nil {
		return fmt.Errorf("write the provenance of step %q: %w", c.Name, err)
	}
	envelope, err := attestation.Sign(ctx, attestation.PayloadType, payload, key)
	if err != nil {
		return fmt.Errorf("sign the provenance of step %q: %w", c.Name, err)
	}
	if err := directory.WriteEnvelope(store.ProvenanceFile, envelope); err != nil {
		return fmt.Errorf("write the provenance of step %q: %w", c.Name, err)
	}
	return nil
}
