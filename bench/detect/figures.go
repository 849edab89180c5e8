package main

import (
	"math"
	"slices"
)

// confusion counts how judgements and truth agree.
type confusion struct {
	truePositive, falseNegative, falsePositive, trueNegative int
}

// add counts one judgement.
func (c *confusion) add(malicious, denied bool) {
	switch {
	case malicious && denied:
		c.truePositive++
	case malicious:
		c.falseNegative++
	case denied:
		c.falsePositive++
	default:
		c.trueNegative++
	}
}

// precision is the part of the denied that deserved it; without any it is
// undefined, as recall is without anything malicious.
func (c confusion) precision() float64 { return ratio(c.truePositive, c.truePositive+c.falsePositive) }

func (c confusion) recall() float64 { return ratio(c.truePositive, c.truePositive+c.falseNegative) }

// mcc is Matthews' correlation coefficient; undefined when a row or column of the
// four counts is empty.
func (c confusion) mcc() float64 {
	tp, fn, fp, tn := float64(c.truePositive), float64(c.falseNegative), float64(c.falsePositive), float64(c.trueNegative)
	product := (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
	if product == 0 {
		return math.NaN()
	}
	return (tp*tn - fp*fn) / math.Sqrt(product)
}

func ratio(part, whole int) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

// spread is what a list of values is like.
type spread struct{ median, highest, sum float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	s := spread{median: sorted[len(sorted)/2], highest: sorted[len(sorted)-1]}
	for _, v := range sorted {
		s.sum += v
	}
	return s
}
