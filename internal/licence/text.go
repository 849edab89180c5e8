package licence

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
)

// MaxText is the size up to which a licence text is looked at; longer files hold
// several licences.
const MaxText = 256 << 10 // 256 KiB

// maxNotice is the length of a line that can be a notice of copyright and no more.
const maxNotice = 200

//go:embed texts.txt
var textsText string

// texts maps digests of licence texts, as [textDigest] makes them, to identifiers.
var texts = sync.OnceValue(func() map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(textsText) {
		if digest, id, ok := strings.Cut(strings.TrimSpace(line), " "); ok && digest != "#" {
			known[digest] = id
		}
	}
	return known
})

// FromText returns the identifier of a text that is, but for title, notice of
// copyright, holder and layout, word by word one that is known. Any other text has
// none, however much it looks like a licence.
func FromText(text string) (string, bool) {
	if len(text) > MaxText {
		return "", false
	}
	id, ok := texts()[textDigest(text)]
	return id, ok
}

// wording are the parts of licence texts that differ from project to project.
type wording struct {
	holder *regexp.Regexp // the part of the third clause of BSD licences that names somebody
	title  *regexp.Regexp // lines that name a licence above its text
	notice *regexp.Regexp // lines that say whose the work is
}

// words compiles the patterns at the first text: few commands read any, and every
// process of the program would pay for them.
var words = sync.OnceValue(func() wording {
	return wording{
		holder: regexp.MustCompile(`neither the names? of .{1,200}? nor the names of (its|the|their) contributors`),
		title:  regexp.MustCompile(`^((the|mit|isc|expat|apache|bsd|new|modified|simplified|revised|zero|[023]|clause|software|licen[sc]e)( |$))+$`),
		notice: regexp.MustCompile(`^(copyright|c [0-9]{4}|all rights reserved|portions copyright)`),
	}
})

// textDigest is the digest of the words of a text. Notices and titles are taken
// out only above the first line that is neither.
func textDigest(text string) string {
	var lines []string
	head, patterns := true, words()
	for line := range strings.Lines(strings.ToLower(text)) {
		fields := strings.FieldsFunc(line, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
		if len(fields) == 0 {
			continue
		}
		plain := strings.Join(fields, " ")
		if head && len(plain) <= maxNotice && (patterns.notice.MatchString(plain) || patterns.title.MatchString(plain)) {
			continue
		}
		head = false
		lines = append(lines, plain)
	}
	joined := patterns.holder.ReplaceAllString(strings.Join(lines, " "), "neither the name of the holder nor the names of its contributors")
	sum := sha256.Sum256([]byte(joined))
	return hex.EncodeToString(sum[:])
}
