// Package picture makes portraits of uploaded images: small squares of one size, without anything
// but their pixels.
package picture

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	// MaxUpload is how many bytes an uploaded image may have.
	MaxUpload = 5 << 20
	// Size is the width and height of a portrait in pixels.
	Size = 256

	maxPixels = 25_000_000 // of an uploaded image; decoding takes up to 12 bytes each
	maxBytes  = 64 << 10   // of a portrait
)

// Kinds of portraits, as media types.
const (
	JPEG = "image/jpeg"
	PNG  = "image/png"
)

// Image is a portrait.
type Image struct {
	Kind string // JPEG or PNG
	Data []byte
}

// format is one kind of image that may be uploaded.
type format struct {
	magic  string // "?" is any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func formats() []format {
	return []format{
		{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
		{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
		{"GIF8?a", gif.DecodeConfig, gif.Decode}, // the first frame
		{"RIFF????WEBP", webp.DecodeConfig, webp.Decode},
	}
}

// Maker makes portraits, one at a time: decoding needs much memory for a moment. It is safe for
// concurrent use.
type Maker struct{ busy chan struct{} }

// NewMaker returns a Maker.
func NewMaker() *Maker { return &Maker{make(chan struct{}, 1)} }

// Portrait returns the middle of an image as a square of Size pixels, turned as its camera was. All
// metadata is dropped. It looks at the header of the image before its pixels: Invalid for what is
// not an image of a known kind, is too large, or is damaged; Unavailable if ctx ends first.
func (m *Maker) Portrait(ctx context.Context, data []byte) (Image, error) {
	f, err := sniff(data)
	if err != nil {
		return Image{}, err
	}
	c, err := f.config(bytes.NewReader(data))
	if err != nil {
		return Image{}, errDamaged(err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return Image{}, invalid("The picture has too many pixels. Choose one with at most %d megapixels.",
			maxPixels/1_000_000)
	}
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-ctx.Done():
		return Image{}, fault.Wrap(fault.Unavailable, ctx.Err(), "Too many pictures are uploaded. Try again.")
	}
	src, err := f.decode(bytes.NewReader(data))
	if err != nil {
		return Image{}, errDamaged(err)
	}
	return encode(square(src, orientation(data)))
}

func sniff(data []byte) (format, error) {
	if len(data) == 0 {
		return format{}, invalid("Choose a picture to upload.")
	}
	if len(data) > MaxUpload {
		return format{}, TooLarge()
	}
	for _, f := range formats() {
		if matches(data, f.magic) {
			return f, nil
		}
	}
	return format{}, invalid("This file is not a picture of a kind that can be used. Choose a JPEG, PNG, GIF, or WebP file.")
}

func matches(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

// TooLarge returns the error of an upload of more than MaxUpload bytes.
func TooLarge() error {
	return invalid("The picture is too large. Choose a file of at most %d MB.", MaxUpload>>20)
}

func invalid(format string, args ...any) error {
	return fault.InvalidField("picture", format, args...)
}

func errDamaged(err error) error {
	return &fault.Error{
		Kind:  fault.Invalid,
		Field: "picture",
		Text:  "This picture cannot be read. Save it again or choose another one.",
		Cause: err,
	}
}

// square returns the middle of an image, scaled to Size and turned by an EXIF orientation.
func square(src image.Image, rotation int) *image.NRGBA {
	b := src.Bounds()
	side := min(b.Dx(), b.Dy())
	x, y := b.Min.X+(b.Dx()-side)/2, b.Min.Y+(b.Dy()-side)/2
	scaled := image.NewNRGBA(image.Rect(0, 0, Size, Size))
	draw.CatmullRom.Scale(scaled, scaled.Bounds(), src, image.Rect(x, y, x+side, y+side), draw.Src, nil)
	return turned(scaled, rotation)
}

// turned returns a square image in the orientation that an EXIF value names (EXIF 2.32, tag 274).
func turned(src *image.NRGBA, rotation int) *image.NRGBA {
	if rotation < 2 || rotation > 8 {
		return src
	}
	const last = Size - 1
	out := image.NewNRGBA(src.Bounds())
	for y := range Size {
		for x := range Size {
			fromX, fromY := x, y
			if rotation >= 5 { // rows and columns change places
				fromX, fromY = y, x
			}
			if rotation == 2 || rotation == 3 || rotation == 7 || rotation == 8 {
				fromX = last - fromX
			}
			if rotation == 3 || rotation == 4 || rotation == 6 || rotation == 7 {
				fromY = last - fromY
			}
			out.SetNRGBA(x, y, src.NRGBAAt(fromX, fromY))
		}
	}
	return out
}

// encode returns an image as JPEG, or as PNG if it is transparent somewhere and small enough.
func encode(m *image.NRGBA) (Image, error) {
	var buf bytes.Buffer
	if !m.Opaque() {
		if err := png.Encode(&buf, m); err != nil {
			return Image{}, err
		}
		if buf.Len() <= maxBytes {
			return Image{PNG, buf.Bytes()}, nil
		}
		white := image.NewNRGBA(m.Bounds())
		draw.Draw(white, white.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
		draw.Draw(white, white.Bounds(), m, image.Point{}, draw.Over)
		m = white
	}
	for quality := 88; ; quality -= 12 {
		buf.Reset()
		if err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: quality}); err != nil {
			return Image{}, err
		}
		if buf.Len() <= maxBytes || quality < 30 {
			return Image{JPEG, buf.Bytes()}, nil
		}
	}
}
