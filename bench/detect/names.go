package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"strings"
	"text/template"
)

// names chooses what the placeholders of one scenario stand for: with seed 0
// what its header says, with another seed something that was never seen before.
type names struct {
	id    string
	seed  uint64
	given map[string]string
	own   header
}

func (s scenario) names(seed uint64) names {
	return names{id: s.ID, seed: seed, given: s.Names, own: s.header}
}

// source is random and the same for the same seed, scenario and placeholder.
func (n names) source(kind, key string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s\x00%s", n.seed, n.id, kind, key)
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

// syllables make words that no list of names has.
func syllables() []string {
	return []string{"ba", "dor", "fen", "gri", "hul", "jov", "kam", "lep", "mu", "nas", "or", "pel", "qui", "rast", "su", "tev", "ul", "vim", "wex", "yor", "zan"}
}

func word(r *rand.Rand) string {
	all := syllables()
	var b strings.Builder
	for range 3 {
		b.WriteString(all[r.IntN(len(all))])
	}
	return b.String()
}

func (n names) mutated() bool { return n.seed != 0 }

func (n names) dist() string {
	if !n.mutated() {
		return n.own.Distribution
	}
	r := n.source("dist", "")
	return word(r) + "-" + word(r)
}

// module is the import name: of letters, digits and underscores.
func (n names) module() string {
	if !n.mutated() && n.own.Module != "" {
		return n.own.Module
	}
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(n.dist()))
}

// host is a name that somebody else owns; the top-level domain of a mutation is
// one that is reserved for documentation, too.
func (n names) host(key string) string {
	if !n.mutated() {
		return cmp.Or(n.given[key], key+".example")
	}
	r := n.source("host", key)
	return word(r) + "-" + word(r) + ".example"
}

// addr is an IPv4 address of the networks for documentation (RFC 5737).
func (n names) addr(key string) string {
	if !n.mutated() && n.given[key] != "" {
		return n.given[key]
	}
	r := n.source("addr", key)
	nets := [][3]byte{{192, 0, 2}, {198, 51, 100}, {203, 0, 113}}
	net := nets[r.IntN(len(nets))]
	return netip.AddrFrom4([4]byte{net[0], net[1], net[2], byte(2 + r.IntN(250))}).String()
}

// addr6 is an address of the IPv6 network for documentation (RFC 3849).
func (n names) addr6(key string) string {
	if !n.mutated() && n.given[key] != "" {
		return n.given[key]
	}
	r := n.source("addr6", key)
	return fmt.Sprintf("2001:db8:%x::%x", 1+r.IntN(0xfffe), 1+r.IntN(0xfffe))
}

// port is a port that nothing known has.
func (n names) port(key string) string {
	if !n.mutated() && n.given[key] != "" {
		return n.given[key]
	}
	return fmt.Sprint(20000 + n.source("port", key).IntN(9000))
}

// file is a base name; a mutation keeps a leading dot and the extension, which
// programs go by.
func (n names) file(key string) string {
	chosen := cmp.Or(n.given[key], key)
	if !n.mutated() {
		return chosen
	}
	dot := ""
	if strings.HasPrefix(chosen, ".") {
		dot, chosen = ".", chosen[1:]
	}
	return dot + word(n.source("file", key)) + path.Ext(chosen)
}

// name is an identifier.
func (n names) name(key string) string {
	if !n.mutated() {
		return cmp.Or(n.given[key], key)
	}
	return word(n.source("name", key))
}

// channel is where payload.py goes: the header's channel, or with a seed one of
// those that do the same.
func (n names) channel(s scenario) string {
	if !n.mutated() || len(s.Channels) == 0 {
		return s.Channel
	}
	all := append([]string{s.Channel}, s.Channels...)
	return all[n.source("channel", "").IntN(len(all))]
}

// functions are the placeholders.
func (n names) functions(extra map[string]any) template.FuncMap {
	f := template.FuncMap{
		"dist": n.dist, "module": n.module, "version": func() string { return n.own.Version },
		"host": n.host, "addr": n.addr, "addr6": n.addr6, "port": n.port, "file": n.file, "name": n.name,
		"b64": func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) },
	}
	maps.Copy(f, extra)
	return f
}

// expander fills placeholders in; the first error stays.
type expander struct {
	functions template.FuncMap
	err       error
}

func (e *expander) text(in string) string {
	if e.err != nil || !strings.Contains(in, "{{") {
		return in
	}
	parsed, err := template.New("").Funcs(e.functions).Parse(in)
	if err != nil {
		e.err = err
		return in
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, nil); err != nil {
		e.err = err
	}
	return out.String()
}

func (e *expander) list(in []string) []string {
	out := slices.Clone(in)
	for i := range out {
		out[i] = e.text(out[i])
	}
	return out
}

func (e *expander) table(in map[string]string) map[string]string {
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(in)) {
		out[e.text(k)] = e.text(in[k])
	}
	return out
}

func (e *expander) packaging(p *packaging) {
	p.Requires, p.Metadata, p.Scripts = e.list(p.Requires), e.list(p.Metadata), e.table(p.Scripts)
	p.Unrecorded, p.Misrecorded = e.list(p.Unrecorded), e.list(p.Misrecorded)
}

// header fills in what may hold placeholders.
func (e *expander) header(h *header) {
	e.packaging(&h.packaging)
	h.Install, h.Check = e.list(h.Install), e.list(h.Check)
	others := map[string]other{}
	for name, o := range h.Others {
		o.Dist = e.text(o.Dist)
		e.packaging(&o.packaging)
		others[name] = o
	}
	h.Others = others
	indexes := map[string][]release{}
	for name, releases := range h.Indexes {
		releases = slices.Clone(releases)
		for i, r := range releases {
			if r.Attested != nil {
				a := *r.Attested
				a.Repository, a.Workflow, a.Ref = e.text(a.Repository), e.text(a.Workflow), e.text(a.Ref)
				releases[i].Attested = &a
			}
		}
		indexes[name] = releases
	}
	h.Indexes = indexes
}
