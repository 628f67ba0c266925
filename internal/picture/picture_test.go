package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var (
	red  = color.NRGBA{R: 255, A: 255}
	blue = color.NRGBA{B: 255, A: 255}
)

// halves returns an image whose left half is red and whose right half is blue.
func halves(width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := red
			if x >= width/2 {
				c = blue
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func asPNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	testkit.Must(t, png.Encode(&buf, m))
	return buf.Bytes()
}

// asJPEG returns a JPEG file with EXIF data that name an orientation and hold a secret place.
func asJPEG(t *testing.T, m image.Image, orientation uint16) []byte {
	t.Helper()
	var buf bytes.Buffer
	testkit.Must(t, jpeg.Encode(&buf, m, nil))
	tiff := []byte("MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	tiff = binary.BigEndian.AppendUint16(tiff, orientation)
	tiff = append(tiff, "\x00\x00\x00\x00\x00\x00GPS 52.5,13.4"...)
	body := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return append(append(append([]byte{0xff, 0xd8}, segment...), body...), buf.Bytes()[2:]...)
}

func portrait(t *testing.T, data []byte) (Image, image.Image) {
	t.Helper()
	made, err := NewMaker().Portrait(t.Context(), data)
	testkit.Must(t, err)
	if len(made.Data) > maxBytes {
		t.Errorf("the portrait has %d bytes", len(made.Data))
	}
	m, format, err := image.Decode(bytes.NewReader(made.Data))
	testkit.Must(t, err)
	testkit.Equal(t, "kind", made.Kind, "image/"+format)
	testkit.Equal(t, "width", m.Bounds().Dx(), Size)
	testkit.Equal(t, "height", m.Bounds().Dy(), Size)
	return made, m
}

// near reports whether a pixel has about a color: JPEG changes it a little.
func near(m image.Image, x, y int, want color.NRGBA) bool {
	r, g, b, _ := m.At(x, y).RGBA()
	far := func(a uint32, b uint8) bool { d := int(a>>8) - int(b); return d > 40 || d < -40 }
	return !far(r, want.R) && !far(g, want.G) && !far(b, want.B)
}

// The middle of an image of any kind becomes a square.
func TestPortrait(t *testing.T) {
	var animated bytes.Buffer
	frames := &gif.GIF{}
	for _, c := range []color.Color{red, blue} {
		p := image.NewPaletted(image.Rect(0, 0, 40, 40), color.Palette{c})
		frames.Image, frames.Delay = append(frames.Image, p), append(frames.Delay, 1)
	}
	testkit.Must(t, gif.EncodeAll(&animated, frames))
	_, m := portrait(t, animated.Bytes())
	if !near(m, 128, 128, red) {
		t.Error("the first frame is not the portrait")
	}

	for name, data := range map[string][]byte{
		"wide": asPNG(t, halves(400, 100)), "high": asPNG(t, halves(100, 400)), "one pixel": asPNG(t, halves(1, 1)), "JPEG": asJPEG(t, halves(300, 200), 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, m := portrait(t, data)
			if name != "one pixel" && (!near(m, 20, 128, red) || !near(m, 236, 128, blue)) {
				t.Errorf("%v, %v", m.At(20, 128), m.At(236, 128))
			}
		})
	}
}

// A photo stands upright, and nothing but its pixels is kept.
func TestOrientation(t *testing.T) {
	// Where the red half is, by orientation.
	for orientation, at := range map[uint16][2]int{
		1: {20, 128}, 2: {236, 128}, 3: {236, 128}, 4: {20, 128}, 5: {128, 20}, 6: {128, 20}, 7: {128, 236}, 8: {128, 236}, 9: {20, 128},
	} {
		made, m := portrait(t, asJPEG(t, halves(300, 300), orientation))
		if !near(m, at[0], at[1], red) {
			t.Errorf("orientation %d: %v at %v", orientation, m.At(at[0], at[1]), at)
		}
		if bytes.Contains(made.Data, []byte("GPS")) || bytes.Contains(made.Data, []byte("Exif")) {
			t.Errorf("orientation %d: metadata is kept", orientation)
		}
	}
	for name, data := range map[string]string{
		"short": "\xff\xd8\xff\xe1\x00\x04Ex", "no directory": "\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff",
		"many entries": "\xff\xd8\xff\xe1\x00\x12Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff",
	} {
		if got := orientation([]byte(data)); got != 1 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// Transparent pictures stay so, unless they would be too large.
func TestTransparency(t *testing.T) {
	m := halves(300, 300)
	m.SetNRGBA(150, 150, color.NRGBA{})
	for i := range 100 {
		m.SetNRGBA(i, 150, color.NRGBA{})
	}
	made, _ := portrait(t, asPNG(t, m))
	testkit.Equal(t, "kind", made.Kind, PNG)

	noise := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	_, _ = rand.New(rand.NewSource(1)).Read(noise.Pix)
	made, _ = portrait(t, asPNG(t, noise))
	testkit.Equal(t, "kind of noise", made.Kind, JPEG)
}

// bomb is the header of a PNG file that claims a size, and some bytes.
func bomb(width, height uint32) []byte {
	header := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)...)
	header = append(header, 8, 6, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	out = append(out, header...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
}

// Bombs and what is not a picture are rejected by their headers, with a sentence for the person.
func TestRejected(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":              nil,
		"text":                 []byte("hello"),
		"SVG":                  []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`),
		"BMP":                  []byte("BM\x00\x00\x00\x00"),
		"bomb":                 bomb(100_000, 100_000),
		"widest":               bomb(1<<31-1, 1<<31-1),
		"thin":                 bomb(30_000_000, 1),
		"empty":                bomb(0, 5),
		"PNG without pixels":   bomb(10, 10),
		"GIF bomb":             []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"),
		"JPEG without pixels":  []byte("\xff\xd8\xff\xe0\x00\x02"),
		"WebP bomb":            []byte("RIFF\x1a\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff"),
		"WebP without a frame": []byte("RIFF\x04\x00\x00\x00WEBP"),
		"too many bytes":       append(asPNG(t, halves(9, 9)), make([]byte, MaxUpload)...),
	} {
		_, err := NewMaker().Portrait(t.Context(), data)
		if !fault.Is(err, fault.Invalid) || strings.Contains(fault.Text(err), "internal") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cut file never panics.
func TestCutFiles(t *testing.T) {
	for _, whole := range [][]byte{asPNG(t, halves(30, 20)), asJPEG(t, halves(30, 20), 6)} {
		for n := 0; n < len(whole); n += 7 {
			_, err := NewMaker().Portrait(t.Context(), whole[:n])
			if err != nil && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	}
}

// Pictures wait for one another, and no longer than their requests do.
func TestOneAtATime(t *testing.T) {
	m := NewMaker()
	m.busy <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Portrait(ctx, asPNG(t, halves(9, 9)))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	<-m.busy
	_, err = m.Portrait(t.Context(), asPNG(t, halves(9, 9)))
	testkit.Must(t, err)
}
