package check

import (
	"context"
	"errors"
	"fmt"
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
		if j.Policy, err = BuiltinPolicy(ctx, j.Key); err != nil {
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
	request := verify.Request{PolicyEnvelope: j.Policy, PolicyKeys: j.PolicyKeys, Now: time.Now().UTC(), EvalTimeout: j.Timeout}
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
	o.Timings["verify"] = time.Since(started).Seconds()
	return result, nil
}

// BuiltinPolicy is the built-in policy, compiled and signed with the run's own key.
func BuiltinPolicy(ctx context.Context, key seal.Key) ([]byte, error) {
	now := time.Now().UTC()
	compiled, err := policy.Compile(ctx, policy.Builtin(), policy.Options{
		Functionaries: []attestation.PublicKey{key.Public()}, Expires: now.Add(builtinValidity), Modules: rules.FS, Now: now,
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
	data, err := envelope.Marshal()
	if err != nil {
		return verify.Document{}, err
	}
	return verify.Document{Name: path, Data: data}, nil
}
