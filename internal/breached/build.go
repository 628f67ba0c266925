package breached

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"path/filepath"
)

// Built describes a filter that was built.
type Built struct {
	Entries int64   // passwords
	Size    int64   // bytes
	Rate    float64 // of false positives
}

// Build makes a filter of a list of lines in the order of their hashes. It reads the list twice and
// holds one block in memory. The output is complete or not there.
func Build(ctx context.Context, input, output string) (*Built, error) {
	in, err := os.Open(input)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	count, err := countLines(ctx, in)
	if err != nil {
		return nil, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out, err := os.CreateTemp(filepath.Dir(output), ".breached-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name()) // it is gone if all went well
	built, err := build(ctx, in, out, count)
	if err = errors.Join(err, out.Sync(), out.Chmod(0o644), out.Close()); err != nil {
		return nil, err
	}
	return built, os.Rename(out.Name(), output)
}

// countLines returns the number of lines, with the last one if it has no end.
func countLines(ctx context.Context, in io.Reader) (int64, error) {
	buf := make([]byte, 1<<20)
	count := int64(1)
	for {
		n, err := in.Read(buf)
		count += int64(bytes.Count(buf[:n], []byte("\n")))
		switch {
		case errors.Is(err, io.EOF):
			return count, nil
		case err != nil:
			return 0, err
		case ctx.Err() != nil:
			return 0, ctx.Err()
		}
	}
}

// output is where the header of a filter is written last.
type output interface {
	io.Writer
	io.WriterAt
}

func build(ctx context.Context, in io.Reader, out output, count int64) (*Built, error) {
	b := &builder{out: bufio.NewWriterSize(out, 1<<20), blocks: uint64(count+perBlock-1) / perBlock}
	if _, err := b.out.Write(make([]byte, headerSize)); err != nil {
		return nil, err
	}
	if err := b.addAll(ctx, in); err != nil {
		return nil, err
	}
	for b.block < b.blocks {
		if err := b.endBlock(); err != nil {
			return nil, err
		}
	}
	if err := b.out.Flush(); err != nil {
		return nil, err
	}
	made := &Built{
		Entries: b.entries,
		Size:    headerSize + int64(b.blocks)*blockSize,
		Rate:    b.rates / float64(b.blocks),
	}
	_, err := out.WriteAt(header(b.blocks, made.Entries, made.Rate), 0)
	return made, err
}

// builder writes blocks one after another.
type builder struct {
	out     *bufio.Writer
	blocks  uint64
	block   uint64 // the one in data
	data    [blockData]byte
	last    hash
	entries int64
	rates   float64 // the sum of the rates of false positives of the blocks
}

func (b *builder) addAll(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !atEnd && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(bytes.TrimSpace(line)) > 0 || !atEnd {
			if err := b.add(line); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
		if atEnd {
			break
		}
		if number%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if b.entries == 0 {
		return errors.New("the list is empty")
	}
	return nil
}

func (b *builder) add(line []byte) error {
	h, err := parseLine(line)
	if err != nil {
		return err
	}
	switch bytes.Compare(h[:], b.last[:]) {
	case -1:
		return errors.New("the lines are not in the order of the hashes; sort them: LC_ALL=C sort INPUT > OUTPUT")
	case 0:
		if b.entries > 0 { // the same twice
			return nil
		}
	}
	b.last = h
	b.entries++
	for n := blockOf(h, b.blocks); b.block < n; {
		if err := b.endBlock(); err != nil {
			return err
		}
	}
	for _, bit := range bitsOf(h) {
		b.data[bit/8] |= 1 << (bit % 8)
	}
	return nil
}

// endBlock writes the block in data and begins the next one.
func (b *builder) endBlock() error {
	set := 0
	for i := 0; i < blockData; i += 4 {
		set += bits.OnesCount32(binary.BigEndian.Uint32(b.data[i:]))
	}
	b.rates += math.Pow(float64(set)/blockBits, probes)
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], checksum(b.block, b.data[:]))
	_, err := b.out.Write(b.data[:])
	if err == nil {
		_, err = b.out.Write(sum[:])
	}
	clear(b.data[:])
	b.block++
	return err
}
