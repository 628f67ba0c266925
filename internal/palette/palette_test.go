package palette

import (
	"math"
	"testing"
)

func color(t *testing.T, s string) Color {
	t.Helper()
	c, err := Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return c
}

// Ratios as the formula of WCAG 2.2 §1.4.3 gives them.
func TestContrast(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"#000000", "#ffffff", 21},
		{"#ffffff", "#ffffff", 1},
		{"#777777", "#ffffff", 4.478},
		{"#767676", "#ffffff", 4.542},
		{"#ff0000", "#ffffff", 3.998},
		{"#0000ff", "#ffffff", 8.592},
		{"#00ff00", "#000000", 15.304},
		{"#ffff00", "#ffffff", 1.074},
		{"#7c3aed", "#ffffff", 5.70},
	} {
		got := Contrast(color(t, c.a), color(t, c.b))
		if math.Abs(got-c.want) > 0.005 || got != Contrast(color(t, c.b), color(t, c.a)) {
			t.Errorf("%s and %s: %.3f, want %.3f", c.a, c.b, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	if c := color(t, "#7C3aeD"); c != (Color{0x7c, 0x3a, 0xed}) || c.String() != "#7c3aed" {
		t.Errorf("%+v %s", c, c)
	}
	if s := (Color{0, 0, 1}).String(); s != "#000001" {
		t.Error(s)
	}
	for _, s := range []string{"", "#", "7c3aed", "#fff", "#7c3aedff", "#7c3ag0", "#+12345", "#0x1234", "purple", "rgb(1,2,3)", " #7c3aed", "#7c3aed;", "#７c3aed"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("accepted %q", s)
		}
	}
}

// Whatever the brand's color is, text has 4.5:1 with what it stands on, and the button's shape has
// 3:1 with the card.
func TestEveryColorIsLegible(t *testing.T) {
	values := []uint8{0, 17, 51, 85, 102, 119, 136, 170, 204, 238, 255}
	for _, r := range values {
		for _, g := range values {
			for _, b := range values {
				brand := Color{r, g, b}
				check(t, "light", brand, Light(brand), LightSurfaces)
				check(t, "dark", brand, Dark(brand), DarkSurfaces)
				if Light(brand).Fill != brand {
					t.Errorf("%s: the button has another color", brand)
				}
			}
		}
	}
}

func check(t *testing.T, name string, brand Color, s Scheme, on Surfaces) {
	t.Helper()
	for what, ratio := range map[string]float64{
		"link":           worst(s.Accent, on.with(s.Tint)),
		"hovered link":   worst(s.AccentDeep, on.with(s.Tint)),
		"button":         Contrast(s.OnFill, s.Fill),
		"hovered button": Contrast(s.OnFill, s.FillDeep),
	} {
		if ratio < textContrast {
			t.Errorf("%s on %s pages: %s has %.2f:1", brand, name, what, ratio)
		}
	}
	if max(Contrast(s.Fill, on.Card), Contrast(s.Edge, on.Card)) < shapeContrast {
		t.Errorf("%s on %s pages: the button is invisible", brand, name)
	}
	if s.Fill == s.FillDeep || s.Accent == s.AccentDeep && brand != Black && s.Accent != White {
		t.Errorf("%s on %s pages: nothing changes below the pointer", brand, name)
	}
}
