package ui

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/palette"
)

// touchIconSize is the width and the height of the icon for home screens, in pixels.
const touchIconSize = 180

// ownColor is the color of the mark where the brand has none.
var ownColor = palette.Color{R: 0x0f, G: 0x65, B: 0x57}

// iconColors returns the colors of the mark: the ground, and the arch on it.
func (b Brand) iconColors() (ground, arch palette.Color) {
	c, ok := b.color()
	if !ok {
		return ownColor, palette.White
	}
	s := palette.Light(c)
	return s.Fill, s.OnFill
}

// colorIcon returns icon.svg in the brand's colors.
func colorIcon(b Brand, svg []byte) []byte {
	c, ok := b.color()
	if !ok {
		return svg
	}
	ground, arch := b.iconColors()
	leaf := palette.Light(c).Leaf
	if arch == palette.White {
		leaf = palette.Light(c).Tint
	}
	colors := strings.NewReplacer(
		ownColor.String(), ground.String(), "#fff", arch.String(), "#8fe0cd", leaf.String(),
	)
	return []byte(colors.Replace(string(svg)))
}

// touchIcon draws the mark of icon.svg for home screens, which do not take an SVG: an arch on a
// full square, since phones round its corners themselves.
func touchIcon(ground, arch palette.Color) ([]byte, error) {
	const shades = 8
	var colors color.Palette
	for i := range shades + 1 { // from the ground to the arch, for smooth edges
		mix := func(from, to uint8) uint8 { return uint8(int(from) + (int(to)-int(from))*i/shades) }
		colors = append(colors, color.RGBA{mix(ground.R, arch.R), mix(ground.G, arch.G), mix(ground.B, arch.B), 0xff})
	}
	img := image.NewPaletted(image.Rect(0, 0, touchIconSize, touchIconSize), colors)
	for y := range touchIconSize {
		for x := range touchIconSize {
			img.SetColorIndex(x, y, uint8(math.Round(covered(x, y)*shades)))
		}
	}
	var buf bytes.Buffer
	err := png.Encode(&buf, img)
	return buf.Bytes(), err
}

// covered returns the share of a pixel that is in the arch. Most pixels lie within it or without it
// like all their corners; only on an edge more samples are taken.
func covered(x, y int) float64 {
	const grid = 4 // samples to each side
	inside := 0
	for _, s := range []int{0, grid - 1, grid * (grid - 1), grid*grid - 1} {
		inside += sample(x, y, s%grid, s/grid, grid)
	}
	if inside == 0 || inside == 4 {
		return float64(inside / 4)
	}
	inside = 0
	for s := range grid * grid {
		inside += sample(x, y, s%grid, s/grid, grid)
	}
	return float64(inside) / (grid * grid)
}

// sample returns 1 if a point of a pixel, in a grid of so many to each side, is in the arch, and 0
// otherwise.
func sample(x, y, column, row, grid int) int {
	px := float64(x) + (float64(column)+.5)/float64(grid)
	py := float64(y) + (float64(row)+.5)/float64(grid)
	if inArch(px/touchIconSize*32, py/touchIconSize*32) {
		return 1
	}
	return 0
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
	Theme      string         `json:"theme_color"`
	Icons      []manifestIcon `json:"icons"`
}

type manifestIcon struct {
	Src   string `json:"src"`
	Sizes string `json:"sizes"`
	Type  string `json:"type"`
}
