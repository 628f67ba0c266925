package breached

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
)

// A filter is a Bloom filter in blocks: the first eight bytes of a hash name its block, so blocks
// are in the order of the hashes, and the other bytes name ten bits in it. The file is a header and
// then the blocks, each with a checksum at its end. Numbers are big-endian.
const (
	magic      = "gatehouse breached passwords/1\n"
	headerSize = 64
	blockSize  = 512
	blockData  = blockSize - 4     // the checksum follows
	blockBits  = blockData * 8     // of which each entry sets probes
	probes     = 10                // bits of an entry
	perBlock   = 270               // entries of a block, on average
	maxBlocks  = math.MaxInt32 * 8 // 8 TB
)

// Places in the header, after the magic.
const (
	atBlocks   = 32
	atEntries  = 40
	atRate     = 48 // the rate of false positives, as a float64
	atChecksum = 60
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filter is an open filter.
type filter struct {
	in     io.ReaderAt
	blocks uint64
	count  int64
}

func isFilter(head []byte) bool {
	return len(head) >= len(magic) && string(head[:len(magic)]) == magic
}

// openFilter reads the header of a filter, and checks it and the size of the file.
func openFilter(in io.ReaderAt, head []byte, size int64) (*filter, error) {
	if len(head) < headerSize ||
		crc32.Checksum(head[:atChecksum], castagnoli) != binary.BigEndian.Uint32(head[atChecksum:]) {
		return nil, errors.New("the header of the filter is damaged; build it again")
	}
	f := &filter{
		in:     in,
		blocks: binary.BigEndian.Uint64(head[atBlocks:]),
		count:  int64(binary.BigEndian.Uint64(head[atEntries:])),
	}
	if f.blocks == 0 || f.blocks > maxBlocks || f.count < 0 || size != headerSize+int64(f.blocks)*blockSize {
		return nil, errors.New("the filter has not the size that its header names; copy or build it again")
	}
	return f, nil
}

// header returns the header of a filter.
func header(blocks uint64, entries int64, rate float64) []byte {
	h := make([]byte, headerSize)
	copy(h, magic)
	binary.BigEndian.PutUint64(h[atBlocks:], blocks)
	binary.BigEndian.PutUint64(h[atEntries:], uint64(entries))
	binary.BigEndian.PutUint64(h[atRate:], math.Float64bits(rate))
	binary.BigEndian.PutUint32(h[atChecksum:], crc32.Checksum(h[:atChecksum], castagnoli))
	return h
}

// blockOf returns the block of a hash.
func blockOf(h hash, blocks uint64) uint64 {
	n, _ := bits.Mul64(binary.BigEndian.Uint64(h[:]), blocks)
	return n
}

// bitsOf returns the bits of a hash in its block.
func bitsOf(h hash) (out [probes]uint32) {
	seed := binary.BigEndian.Uint64(h[8:]) ^ uint64(binary.BigEndian.Uint32(h[16:]))<<17
	var word uint64
	for i := range out {
		if i%4 == 0 { // four numbers of 16 bits each (splitmix64)
			seed += 0x9e3779b97f4a7c15
			word = (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
			word = (word ^ word>>27) * 0x94d049bb133111eb
			word ^= word >> 31
		}
		out[i] = uint32(word&0xffff) * blockBits >> 16
		word >>= 16
	}
	return out
}

// checksum returns the checksum of a block's data at its place.
func checksum(block uint64, data []byte) uint32 {
	var place [8]byte
	binary.BigEndian.PutUint64(place[:], block)
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, data)
}

func (f *filter) contains(h hash) (bool, error) {
	var block [blockSize]byte
	n := blockOf(h, f.blocks)
	if _, err := f.in.ReadAt(block[:], headerSize+int64(n)*blockSize); err != nil {
		return false, err
	}
	if checksum(n, block[:blockData]) != binary.BigEndian.Uint32(block[blockData:]) {
		return false, errors.New("a block of the filter of breached passwords is damaged; build it again")
	}
	for _, bit := range bitsOf(h) {
		if block[bit/8]&(1<<(bit%8)) == 0 {
			return false, nil
		}
	}
	return true, nil
}

func (f *filter) entries() int64 { return f.count }
