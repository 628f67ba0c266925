package ui

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
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
	Theme      string         `json:"theme_color"`
	Icons      []manifestIcon `json:"icons"`
}

type manifestIcon struct {
	Src   string `json:"src"`
	Sizes string `json:"sizes"`
	Type  string `json:"type"`
}
