package picture

import (
	"encoding/binary"
	"strings"
)

// orientation returns the EXIF orientation of a JPEG file, 1 to 8, or 1 if it names none. Cameras
// store what the sensor saw, and how it was turned.
func orientation(data []byte) int {
	if !matches(data, "\xff\xd8\xff") {
		return 1
	}
	rest := data[2:]
	for len(rest) >= 4 && rest[0] == 0xff {
		marker, size := rest[1], int(binary.BigEndian.Uint16(rest[2:4]))
		if marker == 0xda || size < 2 || size+2 > len(rest) { // the pixels begin
			return 1
		}
		if body, ok := strings.CutPrefix(string(rest[4:size+2]), "Exif\x00\x00"); ok && marker == 0xe1 {
			return tiffOrientation([]byte(body))
		}
		rest = rest[size+2:]
	}
	return 1
}

// tiffOrientation returns the tag Orientation of the first directory of a TIFF structure.
func tiffOrientation(t []byte) int {
	const orientationTag, entrySize = 0x0112, 12
	if len(t) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if t[0] == 'I' {
		order = binary.LittleEndian
	}
	start := int64(order.Uint32(t[4:8]))
	if start+2 > int64(len(t)) {
		return 1
	}
	entries := t[start+2:]
	for range order.Uint16(t[start : start+2]) {
		if len(entries) < entrySize {
			return 1
		}
		if order.Uint16(entries) == orientationTag {
			if v := int(order.Uint16(entries[8:10])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[entrySize:]
	}
	return 1
}
