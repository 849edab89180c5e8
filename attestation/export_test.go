package attestation

import "encoding/json"

// Fields lets tests compare the splitter with encoding/json.
func Fields(data []byte) (map[string]json.RawMessage, error) { return fields(data) }
