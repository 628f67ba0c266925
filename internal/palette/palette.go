// Package palette derives the colors of the pages from one color of a brand, with the contrast that
// WCAG 2.2 requires.
package palette

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Color is a color of sRGB.
type Color struct{ R, G, B uint8 }

// Colors that derived ones are mixed with.
var (
	White = Color{0xff, 0xff, 0xff}
	Black = Color{}
)

// The contrast that text needs, and what is not text (WCAG 2.2 §1.4.3 and §1.4.11).
const (
	textContrast  = 4.5
	shapeContrast = 3.0
)

var errNoColor = errors.New("must be # and six hexadecimal digits, such as #0f6557")

// Parse reads a color in the form #rrggbb, in upper or lower case.
func Parse(s string) (Color, error) {
	digits, ok := strings.CutPrefix(s, "#")
	if !ok || len(digits) != 6 || strings.ContainsAny(digits, "+-_") {
		return Color{}, errNoColor
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return Color{}, errNoColor
	}
	return Color{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

// String returns the color in the form #rrggbb.
func (c Color) String() string {
	n := 1<<24 | uint64(c.R)<<16 | uint64(c.G)<<8 | uint64(c.B)
	return "#" + strconv.FormatUint(n, 16)[1:]
}

// Luminance returns the relative luminance, from 0 for black to 1 for white (WCAG 2.2 §1.4.3).
func (c Color) Luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// Contrast returns the contrast ratio of two colors, from 1 to 21 (WCAG 2.2 §1.4.3).
func Contrast(a, b Color) float64 {
	light, dark := a.Luminance(), b.Luminance()
	if light < dark {
		light, dark = dark, light
	}
	return (light + 0.05) / (dark + 0.05)
}

// mix returns c with a part of other: 0 is c, 1 is other.
func (c Color) mix(other Color, part float64) Color {
	channel := func(a, b uint8) uint8 {
		return uint8(math.Round(float64(a) + (float64(b)-float64(a))*part))
	}
	return Color{channel(c.R, other.R), channel(c.G, other.G), channel(c.B, other.B)}
}

// worst returns the lowest contrast of a color with some backgrounds.
func worst(c Color, grounds []Color) float64 {
	low := math.Inf(1)
	for _, g := range grounds {
		low = min(low, Contrast(c, g))
	}
	return low
}

// toward mixes c with other in small steps until it has a contrast with all backgrounds. It returns
// other if no mixture has.
func (c Color) toward(other Color, contrast float64, grounds []Color) Color {
	const steps = 64
	for i := range steps {
		if m := c.mix(other, float64(i)/steps); worst(m, grounds) >= contrast {
			return m
		}
	}
	return other
}

// Surfaces are the backgrounds of a scheme.
type Surfaces struct{ Card, Ground, Raised Color }

// Surfaces of light and dark pages, as the style sheet has them.
var (
	LightSurfaces = Surfaces{White, Color{0xf4, 0xf5, 0xf2}, Color{0xf7, 0xf8, 0xf6}}
	DarkSurfaces  = Surfaces{Color{0x16, 0x1c, 0x1a}, Color{0x0e, 0x12, 0x11}, Color{0x1d, 0x24, 0x22}}
)

// Scheme holds the colors that a brand's color becomes on light or on dark pages.
type Scheme struct {
	Accent     Color // of links, icons and focus rings: text on every surface and on Tint
	AccentDeep Color // of a link below the pointer
	Fill       Color // of the main button
	FillDeep   Color // of the main button below the pointer
	OnFill     Color // of text on both
	Edge       Color // of the main button's border; Fill where that is visible on the card
	Tint       Color // of small areas behind Accent
	Leaf       Color // of the second part of the server's own mark
}

// Light returns the colors on light pages. The main button has the brand's color itself, and black
// or white text: one of them always reaches 4.5:1. What is text is darkened as far as it must be.
func Light(brand Color) Scheme {
	s := Scheme{Tint: White.mix(brand, 0.12)}
	grounds := LightSurfaces.with(s.Tint)
	s.Accent = brand.toward(Black, textContrast, grounds)
	s.AccentDeep = s.Accent.mix(Black, 0.25)
	s.Leaf = s.Accent.mix(White, 0.45)
	s.setFill(brand, LightSurfaces.Card)
	return s
}

// comfortable is the contrast of text whose color had to be changed for dark pages anyway.
const comfortable = 7.0

// Dark returns the colors on dark pages. The main button has the brand's color itself where that is
// visible on a dark card, and else the color of links.
func Dark(brand Color) Scheme {
	s := Scheme{Accent: brand}
	surfaces := DarkSurfaces.with(DarkSurfaces.Card.mix(brand, 0.2))
	if worst(brand, surfaces) < textContrast {
		s.Accent = brand.toward(White, comfortable, surfaces)
	}
	s.Tint = DarkSurfaces.Card.mix(s.Accent, 0.15)
	s.Accent = s.Accent.toward(White, textContrast, DarkSurfaces.with(s.Tint))
	s.AccentDeep = s.Accent.mix(White, 0.3)
	s.Leaf = s.Accent.mix(Black, 0.35)
	fill := brand
	if Contrast(fill, DarkSurfaces.Card) < shapeContrast {
		fill = s.Accent
	}
	s.setFill(fill, DarkSurfaces.Card)
	return s
}

func (s Surfaces) with(tint Color) []Color { return []Color{s.Card, s.Ground, s.Raised, tint} }

// setFill sets the colors of the main button on a card.
func (s *Scheme) setFill(fill, card Color) {
	s.Fill, s.OnFill, s.Edge = fill, White, fill
	away, back := Black, White // from the color of the text, and to it
	if Contrast(fill, White) < textContrast {
		s.OnFill, away, back = Black, White, Black
	}
	s.FillDeep = fill.mix(away, 0.2)
	if Contrast(s.FillDeep, fill) < 1.05 { // nearly black or nearly white
		s.FillDeep = fill.mix(back, 0.15)
	}
	if Contrast(fill, card) < shapeContrast {
		s.Edge = s.Accent
	}
}
