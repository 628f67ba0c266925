package ui

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

// touchIconSize is the width and the height of the icon for home screens, in pixels.
const touchIconSize = 180

// touchIcon draws the mark of icon.svg for home screens, which do not take an SVG: an arch on a
// full square, since phones round its corners themselves.
func touchIcon() ([]byte, error) {
	palette := color.Palette{color.RGBA{0x0f, 0x65, 0x57, 0xff}}
	const shades = 8
	for i := 1; i <= shades; i++ { // from the ground to white, for smooth edges
		mix := func(c int) uint8 { return uint8(c + (0xff-c)*i/shades) }
		palette = append(palette, color.RGBA{mix(0x0f), mix(0x65), mix(0x57), 0xff})
	}
	img := image.NewPaletted(image.Rect(0, 0, touchIconSize, touchIconSize), palette)
	const grid = 4 // samples of a pixel to each side
	for y := range touchIconSize {
		for x := range touchIconSize {
			inside := 0
			for s := range grid * grid {
				px := float64(x) + (float64(s%grid)+.5)/grid
				py := float64(y) + (float64(s/grid)+.5)/grid
				if inArch(px/touchIconSize*32, py/touchIconSize*32) {
					inside++
				}
			}
			img.SetColorIndex(x, y, uint8((inside*shades+grid*grid/2)/(grid*grid)))
		}
	}
	var buf bytes.Buffer
	err := png.Encode(&buf, img)
	return buf.Bytes(), err
}

// inArch reports whether a point is in the arch of icon.svg, whose square is 32 units wide.
func inArch(x, y float64) bool {
	const outer, inner, middle, foot = 9.5, 6.0, 16.0, 26.5
	const spring = 15.0 // where the legs become the arc
	dx, dy := x-middle, y-spring
	if y > foot {
		return false
	}
	if dy >= 0 {
		return dx*dx <= outer*outer && dx*dx >= inner*inner
	}
	r := dx*dx + dy*dy
	return r <= outer*outer && r >= inner*inner
}

// manifest describes the account pages to a phone that puts them on its home screen (Web
// Application Manifest).
type manifest struct {
	Name       string         `json:"name"`
	ShortName  string         `json:"short_name"`
	StartURL   string         `json:"start_url"`
	Scope      string         `json:"scope"`
	Display    string         `json:"display"`
	Background string         `json:"background_color"`
	Icons      []manifestIcon `json:"icons"`
}

type manifestIcon struct {
	Src   string `json:"src"`
	Sizes string `json:"sizes"`
	Type  string `json:"type"`
}
