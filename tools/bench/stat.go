package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// A sample is what one pass of load found.
type sample struct {
	Requests int64
	Failed   int64 // answered otherwise than expected, or not at all
	Took     time.Duration
	P50, P99 time.Duration
	CPU      time.Duration // of the server's process, the whole pass
}

// rate returns the number of good answers a second.
func (s sample) rate() float64 {
	if s.Took <= 0 {
		return 0
	}
	return float64(s.Requests) / s.Took.Seconds()
}

// A figure is the median of several passes.
type figure struct {
	Rate     float64
	P50, P99 time.Duration
	CPU      time.Duration // a request
	Requests int64         // in all passes
	Failed   int64
}

// figureOf returns the median of each measure by itself, so that one disturbed pass does not count.
func figureOf(passes []sample) figure {
	var f figure
	var rates []float64
	var p50, p99, cpu []time.Duration
	for _, s := range passes {
		f.Requests += s.Requests
		f.Failed += s.Failed
		rates, p50, p99 = append(rates, s.rate()), append(p50, s.P50), append(p99, s.P99)
		if s.Requests > 0 {
			cpu = append(cpu, s.CPU/time.Duration(s.Requests))
		}
	}
	f.Rate, f.P50, f.P99, f.CPU = median(rates), median(p50), median(p99), median(cpu)
	return f
}

type number interface {
	~int64 | ~float64
}

// median returns the middle value, or the mean of the two in the middle; 0 of none.
func median[T number](values []T) T {
	if len(values) == 0 {
		return 0
	}
	s := slices.Clone(values)
	slices.Sort(s)
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}

// quantile returns the nearest-rank quantile of values in order; 0 of none.
func quantile[T cmp.Ordered](inOrder []T, q float64) (v T) {
	if len(inOrder) == 0 {
		return v
	}
	rank := int(math.Ceil(q*float64(len(inOrder)))) - 1
	return inOrder[min(max(rank, 0), len(inOrder)-1)]
}

// ratio returns a divided by b; 0 where b is.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// count writes a number with its thousands apart.
func count(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var out []byte
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out = append(out, ',')
		}
		out = append(out, digits[i])
	}
	return string(out)
}

// brief writes a duration with three significant digits in the unit that fits it.
func brief(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// mebibytes writes a size of memory or disk.
func mebibytes(bytes int64) string {
	if bytes <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}
