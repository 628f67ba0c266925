// Command image writes the container image as a file that docker load, podman load and registries'
// tools read (an OCI layout, with the description that Docker adds), without a container engine.
// The same source gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "gatehouse-image.tar", "the file to write")
	tag := flag.String("tag", "gatehouse:latest", "the name of the image")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "for which to build")
	version := flag.String("version", "", "the version of a release")
	binary := flag.String("binary", "", "a program that is built already, for one platform")
	flag.Parse()
	if err := build(*out, *tag, strings.Split(*platforms, ","), *version, *binary); err != nil {
		log.Fatal("image: ", err)
	}
}

func build(out, tag string, platforms []string, version, binary string) error {
	dir, err := os.MkdirTemp("", "gatehouse-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	im := &image{tag: tag, version: version}
	for i, platform := range platforms {
		system, arch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q is not a platform such as linux/amd64", platform)
		}
		program := binary
		if program == "" {
			program = filepath.Join(dir, fmt.Sprint(i))
			if err := compile(program, system, arch, version); err != nil {
				return err
			}
		}
		content, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		if err := im.add(system, arch, content); err != nil {
			return err
		}
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := im.write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// compile builds the static program for a platform.
func compile(to, system, arch, version string) error {
	flags := "-s -w -buildid="
	if version != "" {
		flags += " -X github.com/gatehouse-id/gatehouse/internal/app.release=" + version
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", to, "./cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// image is an image for several platforms.
type image struct {
	tag, version string
	blobs        []blob
	manifests    []descriptor
	docker       []map[string]any // what docker load reads
}

type blob struct {
	name    string
	content []byte
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// put adds content under its digest.
func (im *image) put(mediaType string, content []byte) descriptor {
	sum := sha256.Sum256(content)
	d := hex.EncodeToString(sum[:])
	im.blobs = append(im.blobs, blob{"blobs/sha256/" + d, content})
	return descriptor{MediaType: mediaType, Digest: "sha256:" + d, Size: len(content)}
}

// The user of the image. Group 0 owns /data, so that any user of that group may write there.
const user = 65532

// config returns how the image is run.
func (im *image) config(system, arch, diffID string) map[string]any {
	seconds := func(n int) int64 { return int64(time.Duration(n) * time.Second) }
	return map[string]any{
		"architecture": arch,
		"os":           system,
		"created":      "1970-01-01T00:00:00Z",
		"config": map[string]any{
			"User":         fmt.Sprintf("%d:0", user),
			"Entrypoint":   []string{"/gatehouse"},
			"Cmd":          []string{"serve"},
			"Env":          environment(),
			"WorkingDir":   "/data",
			"ExposedPorts": map[string]any{"8080/tcp": map[string]any{}},
			"Volumes":      map[string]any{"/data": map[string]any{}},
			"StopSignal":   "SIGTERM",
			"Healthcheck": map[string]any{
				"Test":        []string{"CMD", "/gatehouse", "healthcheck"},
				"Interval":    seconds(10),
				"Timeout":     seconds(5),
				"StartPeriod": seconds(60),
				"Retries":     3,
			},
			"Labels": map[string]string{
				"org.opencontainers.image.title":    "Gatehouse",
				"org.opencontainers.image.source":   "https://github.com/gatehouse-id/gatehouse",
				"org.opencontainers.image.licenses": "Apache-2.0",
				"org.opencontainers.image.version":  im.version,
			},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diffID}},
		"history": []map[string]any{{"created": "1970-01-01T00:00:00Z", "created_by": "tools/image"}},
	}
}

// environment returns the settings of the image.
func environment() []string {
	return []string{"ENVIRONMENT=production", "HOST=*", "DATABASE_URL=sqlite:/data/gatehouse.db"}
}

// add adds the image of one platform.
func (im *image) add(system, arch string, program []byte) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, f := range []struct {
		tar.Header
		content []byte
	}{
		{tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o770, Uid: user}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: "gatehouse", Mode: 0o755}, program},
	} {
		f.Header.Size, f.Header.ModTime, f.Header.Format = int64(len(f.content)), time.Unix(0, 0), tar.FormatUSTAR
		if err := writeFile(w, &f.Header, f.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	sum := sha256.Sum256(layer.Bytes())
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(layer.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(im.config(system, arch, "sha256:"+hex.EncodeToString(sum[:])))
	if err != nil {
		return err
	}
	c := im.put("application/vnd.oci.image.config.v1+json", config)
	l := im.put("application/vnd.oci.image.layer.v1.tar+gzip", packed.Bytes())
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        c,
		"layers":        []descriptor{l},
	})
	if err != nil {
		return err
	}
	m := im.put("application/vnd.oci.image.manifest.v1+json", manifest)
	m.Platform = map[string]string{"os": system, "architecture": arch}
	im.manifests = append(im.manifests, m)
	path := func(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }
	if len(im.docker) == 0 { // docker load knows one platform; the first is that of most machines
		im.docker = append(im.docker, map[string]any{"Config": path(c), "RepoTags": []string{im.tag}, "Layers": []string{path(l)}})
	}
	return nil
}

func writeFile(w *tar.Writer, h *tar.Header, content []byte) error {
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// write writes the archive.
func (im *image) write(to io.Writer) error {
	list, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     im.manifests,
	})
	if err != nil {
		return err
	}
	index := im.put("application/vnd.oci.image.index.v1+json", list)
	index.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": im.tag[strings.LastIndexByte(im.tag, ':')+1:],
		"io.containerd.image.name":          im.tag,
	}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{index}})
	if err != nil {
		return err
	}
	docker, err := json.Marshal(im.docker)
	if err != nil {
		return err
	}
	files := append(im.blobs, blob{"index.json", top}, blob{"manifest.json", docker},
		blob{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)})
	w := tar.NewWriter(to)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: int64(fs.FileMode(0o644)), Size: int64(len(f.content)),
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := writeFile(w, h, f.content); err != nil {
			return err
		}
	}
	return w.Close()
}
