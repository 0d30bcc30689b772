package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a picture of bars: groups of them side by side, one bar per series in each, drawn on a logarithmic axis because brokers differ by orders of magnitude.
type chart struct {
	title  string
	unit   string
	groups []string
	series []series
}

type series struct {
	name   string
	values []float64 // by group; zero has no bar
}

const (
	chartWidth, chartHeight              = 860, 380
	chartLeft, chartTop, chartRight      = 64, 64, 16
	chartBottom                          = 40
	chartInnerW, chartInnerH             = chartWidth - chartLeft - chartRight, chartHeight - chartTop - chartBottom
	ottlaColour, cacheColour             = "#0b6e4f", "#6bbf8a"
	kafkaColour, flushedColour, otherOne = "#c1440e", "#e8a27c", "#7a7a7a"
)

func colourOf(name string) string {
	switch {
	case strings.HasPrefix(name, unsynced):
		return cacheColour
	case strings.HasPrefix(name, synced):
		return ottlaColour
	case strings.HasPrefix(name, flushed):
		return flushedColour
	case strings.HasPrefix(name, kafka):
		return kafkaColour
	}
	return otherOne
}

// decades are the powers of ten around all values.
func (c *chart) decades() (low, high int, ok bool) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for _, v := range s.values {
			if v > 0 {
				least, most = min(least, v), max(most, v)
			}
		}
	}
	if math.IsInf(least, 0) {
		return 0, 0, false
	}
	low, high = int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	if math.Pow(10, float64(low))*1.3 > least { // the smallest bar is to be seen
		low--
	}
	return low, max(high, low+1), true
}

// svg draws the chart; empty when there is nothing to draw.
func (c *chart) svg() string {
	low, high, ok := c.decades()
	if !ok {
		return ""
	}
	y := func(v float64) float64 {
		return chartTop + chartInnerH*(1-(math.Log10(v)-float64(low))/float64(high-low))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="15">%s</text>`+"\n", chartLeft, html.EscapeString(c.title+" ("+c.unit+", logarithmic)"))
	at := chartLeft
	for _, s := range c.series {
		fmt.Fprintf(&b, `<rect x="%d" y="34" width="11" height="11" fill="%s"/><text x="%d" y="44">%s</text>`+"\n", at, colourOf(s.name), at+16, html.EscapeString(s.name))
		at += 34 + 8*len(s.name)
	}
	for d := low; d <= high; d++ {
		v := math.Pow(10, float64(d))
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			chartLeft, chartWidth-chartRight, y(v), y(v), chartLeft-6, y(v)+4, axis(v))
	}
	group := float64(chartInnerW) / float64(len(c.groups))
	bar := group * 0.84 / float64(len(c.series))
	for i, name := range c.groups {
		left := chartLeft + group*(float64(i)+0.08)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", left+group*0.42, chartHeight-chartBottom+18, html.EscapeString(name))
		for j, s := range c.series {
			if i >= len(s.values) || s.values[i] <= 0 {
				continue
			}
			top, x := y(s.values[i]), left+bar*float64(j)
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/><text x="%.1f" y="%.1f" text-anchor="middle" font-size="10">%s</text>`+"\n",
				x, top, bar-1, chartTop+chartInnerH-top, colourOf(s.name), x+bar/2, top-3, digits(s.values[i]))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func axis(v float64) string {
	if v >= 1 {
		return group(fmt.Sprintf("%.0f", v))
	}
	return fmt.Sprintf("%g", v)
}
