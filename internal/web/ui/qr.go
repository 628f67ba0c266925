package ui

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quietZone is the light margin that readers need to find a QR code, in modules (ISO/IEC 18004
// §6.3.8).
const quietZone = 4

// QRCode returns a text as a QR code: an SVG with one path, dark on light in both color schemes,
// because many readers cannot read an inverted code. Screen readers say the label instead.
func QRCode(text, label string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var path strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			run := 0
			for x+run < n && dark(x+run, y) {
				run++
			}
			if run == 0 {
				continue
			}
			// One rectangle for each run: modules drawn one by one show hairlines on scaled
			// screens.
			path.WriteString("M" + strconv.Itoa(x+quietZone) + " " + strconv.Itoa(y+quietZone))
			path.WriteString("h" + strconv.Itoa(run) + "v1h-" + strconv.Itoa(run) + "z")
			x += run
		}
	}
	size := n + 2*quietZone
	svg := fmt.Sprintf(`<svg class="qr" role="img" aria-label="%s" viewBox="0 0 %d %d" shape-rendering="crispEdges">`+
		`<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="%s"/></svg>`,
		template.HTMLEscapeString(label), size, size, size, size, path.String())
	return template.HTML(svg), nil // numbers, and an escaped label
}
