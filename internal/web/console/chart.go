package console

import (
	"strconv"
	"time"
)

// Chart is a series of numbers over time, drawn as bars, with a table of the same numbers.
type Chart struct {
	ID    string
	Title string
	Total string // the sum, or the last number
	Tone  string // alarm, quiet or ""
	Bars  []Bar
	Top   string // the greatest number
	From  string // the times at both ends
	To    string
}

// Bar is one number of a chart.
type Bar struct {
	X, Y, Width, Height string // in the units of the drawing
	Time                Moment
	Words               string // "21 Nov, 14:00: 12"
	Number              string
}

// Sizes of a chart, in units of its drawing.
const (
	chartWidth  = 480
	chartHeight = 96
)

// Series are numbers, each of a period that begins step after the one before.
type Series struct {
	ID, Title string
	From      time.Time
	Step      time.Duration
	Numbers   []int
}

// newChart draws numbers.
func newChart(b Base, x Series) Chart {
	from, step, numbers := x.From, x.Step, x.Numbers
	c := Chart{ID: x.ID, Title: x.Title}
	top, sum := 1, 0
	for _, n := range numbers {
		top, sum = max(top, n), sum+n
	}
	c.Total, c.Top = grouped(sum), grouped(top)
	if len(numbers) == 0 {
		return c
	}
	slot := float64(chartWidth) / float64(len(numbers))
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	layout := "2 Jan, 15:04"
	if step >= 24*time.Hour {
		layout = "2 Jan"
	}
	for i, n := range numbers {
		at := from.Add(time.Duration(i) * step)
		height := float64(n) / float64(top) * chartHeight
		if n > 0 {
			height = max(height, 2)
		}
		c.Bars = append(c.Bars, Bar{
			X:      decimal(float64(i)*slot + slot*0.1),
			Y:      decimal(chartHeight - height),
			Width:  decimal(slot * 0.8),
			Height: decimal(height),
			Time:   b.When(at),
			Words:  at.In(zone).Format(layout) + ": " + grouped(n),
			Number: grouped(n),
		})
	}
	c.From = from.In(zone).Format(layout)
	c.To = from.Add(time.Duration(len(numbers)-1) * step).In(zone).Format(layout)
	return c
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
