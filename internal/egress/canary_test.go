package egress

import (
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFinder(t *testing.T) {
	const value = "00112233445566778899aabbccddeeff"
	s := &Sinkhole{Canaries: []Canary{{"key", value}, {"other", "ffeeddccbbaa99887766554433221100"}}}
	base := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, c := range []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"as it is", []string{"token=" + value}, []string{"key"}},
		{"in two pieces", []string{"token=" + value[:9], value[9:] + "&"}, []string{"key"}},
		{"hexadecimal", []string{hex.EncodeToString([]byte("a" + value))}, []string{"key"}},
		{"base64 alone", []string{base(value)}, []string{"key"}},
		{"base64 behind one byte", []string{base("a" + value + "tail")}, []string{"key"}},
		{"base64 behind two bytes", []string{base("ab" + value + "tail")}, []string{"key"}},
		{"base64 behind three bytes", []string{base("abc" + value)}, []string{"key"}},
		{"nothing", []string{"hello", value[:20]}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := s.finder()
			for _, p := range c.pieces {
				f.look([]byte(p))
			}
			if diff := cmp.Diff(c.want, f.names()); diff != "" {
				t.Errorf("canaries (-want +got):\n%s", diff)
			}
		})
	}
}
