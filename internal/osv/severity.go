package osv

import (
	"strings"

	cvss20 "github.com/pandatix/go-cvss/20"
	cvss30 "github.com/pandatix/go-cvss/30"
	cvss31 "github.com/pandatix/go-cvss/31"
	cvss40 "github.com/pandatix/go-cvss/40"
)

// Rating is how bad a vulnerability is, in one source's eyes.
type Rating struct {
	// Method is CVSSv2, CVSSv3, CVSSv31, CVSSv4, or "other" for a source's own word.
	Method string
	// Vector is empty for a source's own word.
	Vector string
	// Score is 0.0 to 10.0, computed from the vector; nil without one.
	Score *float64
	// Severity is none, low, medium, high, critical or unknown.
	Severity string
	// By is the id of the advisory that says so.
	By string
}

// maxVector bounds a vector; all metrics of version 4 take less than 200 bytes.
const maxVector = 512

// rate computes the base score of a CVSS vector (version 4: the score of the
// metrics given). A vector that is none is kept out.
func rate(s Severity, by string) (Rating, bool) {
	r := Rating{Vector: s.Score, By: by}
	if len(s.Score) > maxVector {
		return r, false
	}
	var score float64
	var err error
	switch {
	case strings.HasPrefix(s.Score, "CVSS:4.0/"):
		var v *cvss40.CVSS40
		if v, err = cvss40.ParseVector(s.Score); err == nil {
			r.Method, score = "CVSSv4", v.Score()
		}
	case strings.HasPrefix(s.Score, "CVSS:3.1/"):
		var v *cvss31.CVSS31
		if v, err = cvss31.ParseVector(s.Score); err == nil {
			r.Method, score = "CVSSv31", v.BaseScore()
		}
	case strings.HasPrefix(s.Score, "CVSS:3.0/"):
		var v *cvss30.CVSS30
		if v, err = cvss30.ParseVector(s.Score); err == nil {
			r.Method, score = "CVSSv3", v.BaseScore()
		}
	case s.Type == "CVSS_V2":
		var v *cvss20.CVSS20
		if v, err = cvss20.ParseVector(s.Score); err == nil {
			r.Method, score = "CVSSv2", v.BaseScore()
		}
	default:
		return r, false
	}
	if err != nil {
		return r, false
	}
	r.Score, r.Severity = &score, qualitative(r.Method, score)
	return r, true
}

// qualitative is the word for a score: the scale of CVSS v3 and v4, or NVD's for v2.
func qualitative(method string, score float64) string {
	switch {
	case method == "CVSSv2" && score >= 7:
		return "high"
	case method == "CVSSv2" && score < 4:
		return "low"
	case score >= 9:
		return "critical"
	case score >= 7:
		return "high"
	case score >= 4:
		return "medium"
	case score > 0:
		return "low"
	}
	return "none"
}

// ratings are those of the advisory and of its entry for the project, and the
// source's own word.
func ratings(r Record, vectors []Severity) []Rating {
	var out []Rating
	for _, s := range append(append([]Severity(nil), r.Severity...), vectors...) {
		if rating, ok := rate(s, r.ID); ok {
			out = append(out, rating)
		}
	}
	if word := word(readSpecific(r.DatabaseSpecific).severity); word != "" {
		out = append(out, Rating{Method: "other", Severity: word, By: r.ID})
	}
	return out
}

// word maps a source's own severity; "" for one that it does not know.
func word(severity string) string {
	switch strings.ToUpper(severity) {
	case "LOW":
		return "low"
	case "MODERATE", "MEDIUM":
		return "medium"
	case "HIGH":
		return "high"
	case "CRITICAL":
		return "critical"
	}
	return ""
}
