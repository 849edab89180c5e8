package check

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"pip-witness/evidence"
)

// canaryMark is where a decoy's text has its canary.
const canaryMark = "{canary}"

// keyLine is the first or last line of a private key, put together here so that
// this source does not look like one.
func keyLine(which string) string { return "-----" + which + " OPENSSH PRIVATE " + "KEY-----\n" }

// decoyFiles are the fake credentials in HOME, by path below it: one of each
// family that is looked for most. None is valid anywhere.
func decoyFiles() map[string]string {
	return map[string]string{
		".ssh/id_rsa":      keyLine("BEGIN") + canaryMark + "\n" + keyLine("END"),
		".ssh/id_ed25519":  keyLine("BEGIN") + canaryMark + "\n" + keyLine("END"),
		".aws/credentials": "[default]\naws_access_key_id = AKIA2DECOY" + canaryMark + "\naws_secret_access_key = " + canaryMark + "\n",
		".config/gcloud/application_default_credentials.json": `{"type": "authorized_user", "refresh_token": "` + canaryMark + `"}` + "\n",
		".azure/accessTokens.json":                            `[{"accessToken": "` + canaryMark + `"}]` + "\n",
		".kube/config":                                        "apiVersion: v1\nkind: Config\nusers:\n- name: admin\n  user:\n    token: " + canaryMark + "\n",
		".docker/config.json":                                 `{"auths": {"registry.example": {"auth": "` + canaryMark + `"}}}` + "\n",
		".pypirc":                                             "[upload]\nusername = __token__\npassword = " + canaryMark + "\n",
		".npmrc":                                              "//registry.example/:_authToken=" + canaryMark + "\n",
		".netrc":                                              "machine git.example login user password " + canaryMark + "\n",
		".git-credentials":                                    "https://user:" + canaryMark + "@git.example\n",
		".config/gh/hosts.yml":                                "git.example:\n    oauth_token: " + canaryMark + "\n",
		".vault-token":                                        canaryMark + "\n",
		".claude.json":                                        `{"primaryApiKey": "` + canaryMark + `"}` + "\n",
		".config/solana/id.json":                              `["` + canaryMark + `"]` + "\n",
		".bash_history":                                       "export DEPLOY_TOKEN=" + canaryMark + "\n",
		".pgpass":                                             "db.example:5432:*:user:" + canaryMark + "\n",
		".gnupg/private-keys-v1.d/key.key":                    canaryMark + "\n",
	}
}

// decoyVariables are fake tokens in the environment of what is watched.
func decoyVariables() []string {
	return []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN", "TWINE_PASSWORD"}
}

// plantDecoys writes the fake credentials into the throw-away HOME, each with a
// value that is unique to this run: seeing it anywhere else is proof of theft.
func (w *world) plantDecoys() error {
	files := decoyFiles()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		canary, err := newCanary()
		if err != nil {
			return err
		}
		file := w.host(dirHome, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("plant decoy %q: %w", name, err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(files[name], canaryMark, canary)), 0o600); err != nil {
			return fmt.Errorf("plant decoy %q: %w", name, err)
		}
		w.decoys = append(w.decoys, evidence.Decoy{Path: path.Join(w.home, name), Canary: canary})
	}
	for _, name := range decoyVariables() {
		canary, err := newCanary()
		if err != nil {
			return err
		}
		w.decoys = append(w.decoys, evidence.Decoy{Variable: name, Canary: canary})
	}
	return nil
}

// newCanary is a value that no other run has.
func newCanary() (string, error) {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make a canary: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// watchedEnvironment is the environment of what is watched: with fake tokens.
func (w *world) watchedEnvironment(user []string) []string {
	env := w.environment(user)
	for _, d := range w.decoys {
		if d.Variable != "" {
			env = append(env, d.Variable+"="+d.Canary)
		}
	}
	return env
}
