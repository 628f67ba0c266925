package s3_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // as S3 does
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	keyID        = "AKTESTTESTTESTTEST"
	secretKey    = "secret/of+the/test/which/nobody/reads000"
	sessionToken = "session/token/of/the/test=="
)

// strictServer is an S3 server that takes nothing that the protocol of Amazon does not demand, and
// no extension of the SDKs.
type strictServer struct {
	*httptest.Server
	noConditions bool // it answers 501 to If-None-Match

	mu      sync.Mutex
	objects map[string]*object
	uploads map[string]*pending
	fail    func(w http.ResponseWriter, r *http.Request) (answered bool)
	after   func(r *http.Request) (lost bool)
}

type object struct {
	data []byte
	meta string
}

type pending struct {
	key, meta string
	parts     map[int][]byte
	begun     time.Time
}

func newStrict(t *testing.T) *strictServer {
	s := &strictServer{objects: map[string]*object{}, uploads: map[string]*pending{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// open returns how many uploads have neither been completed nor aborted.
func (s *strictServer) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

func (s *strictServer) add(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = &object{data: data}
}

// matches returns whether a request has a method and a part of the query.
func matches(r *http.Request, method, query string) bool {
	return r.Method == method && strings.Contains(r.URL.RawQuery, query)
}

// refuse answers such requests with an error.
func refuse(method, query string, status int, code string) func(*strictServer) {
	return func(s *strictServer) {
		s.fail = func(w http.ResponseWriter, r *http.Request) bool {
			if !matches(r, method, query) {
				return false
			}
			answerError(w, status, code)
			return true
		}
	}
}

// breakOff closes the connection of such requests before they are read.
func breakOff(method, query string) func(*strictServer) {
	return func(s *strictServer) {
		s.fail = func(_ http.ResponseWriter, r *http.Request) bool {
			if matches(r, method, query) {
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}
}

// lose does what such requests ask for, and then closes the connection.
func lose(method, query string) func(*strictServer) {
	return func(s *strictServer) {
		s.after = func(r *http.Request) bool { return matches(r, method, query) }
	}
}

// once lets a server fail one time only.
func once(f func(*strictServer)) func(*strictServer) {
	return func(s *strictServer) {
		f(s)
		fail, after, done := s.fail, s.after, false
		if fail != nil {
			s.fail = func(w http.ResponseWriter, r *http.Request) (answered bool) {
				if done {
					return false
				}
				defer func() {
					if v := recover(); v != nil {
						done = true
						panic(v)
					}
				}()
				done = fail(w, r)
				return done
			}
		}
		if after != nil {
			s.after = func(r *http.Request) bool {
				lost := !done && after(r)
				done = done || lost
				return lost
			}
		}
	}
}

// echo answers with all that was sent.
func echo(s *strictServer) {
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>%s %s\n %s</Message></Error>", keyID, sessionToken, secretKey)
		return true
	}
}

// page answers as a proxy does whose server is away.
func page(s *strictServer) {
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, "<html><body>Bad gateway")
		return true
	}
}

func answerError(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// ServeHTTP checks a request, and answers it.
func (s *strictServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil && s.fail(w, r) {
		return
	}
	if status, code := s.check(r, body); code != "" {
		if code == "AuthorizationHeaderMalformed" {
			w.Header().Set("X-Amz-Bucket-Region", "eu-test-1")
		}
		answerError(w, status, code)
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/bucket/")
	if strings.HasPrefix(r.Host, "bucket.") {
		key, ok = strings.CutPrefix(r.URL.Path, "/")
	} else if r.URL.Path == "/bucket" {
		key, ok = "", true
	}
	if !ok {
		answerError(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	record := httptest.NewRecorder()
	s.answer(record, r, key, body)
	if s.after != nil && s.after(r) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), record.Header())
	w.WriteHeader(record.Code)
	_, _ = w.Write(record.Body.Bytes())
}

// check returns the error of a request that the protocol forbids.
func (s *strictServer) check(r *http.Request, body []byte) (int, string) {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum") || name == "X-Amz-Trailer" ||
			name == "X-Amz-Sdk-Checksum-Algorithm" || name == "Content-Encoding" {
			return http.StatusNotImplemented, "NotImplemented"
		}
	}
	if r.ContentLength < 0 || len(r.TransferEncoding) > 0 {
		return http.StatusLengthRequired, "MissingContentLength"
	}
	if s.noConditions && r.Header.Get("If-None-Match") != "" {
		return http.StatusNotImplemented, "NotImplemented"
	}
	if want := r.Header.Get("Content-Md5"); want != "" {
		sum := md5.Sum(body) //nolint:gosec // as S3 does
		if want != base64.StdEncoding.EncodeToString(sum[:]) {
			return http.StatusBadRequest, "BadDigest"
		}
	} else if r.Method == http.MethodPut {
		return http.StatusBadRequest, "InvalidRequest" // object lock asks for it
	}
	if r.Header.Get("X-Amz-Content-Sha256") != fmt.Sprintf("%x", sha256.Sum256(body)) {
		return http.StatusBadRequest, "XAmzContentSHA256Mismatch"
	}
	return checkSignature(r)
}

// checkSignature checks a signature as the documentation of Amazon describes it.
func checkSignature(r *http.Request) (int, string) {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Sub(now).Abs() > 15*time.Minute {
		return http.StatusForbidden, "RequestTimeTooSkewed"
	}
	fields := map[string]string{}
	for f := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ", ") {
		name, value, _ := strings.Cut(f, "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[0] != keyID {
		return http.StatusForbidden, "InvalidAccessKeyId"
	}
	if scope[2] != "eu-test-1" {
		return http.StatusBadRequest, "AuthorizationHeaderMalformed"
	}
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" && token != sessionToken {
		return http.StatusBadRequest, "InvalidToken"
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	lines := []string{r.Method, encodeEach(r.URL.Path), encodedQuery(r.URL.Query())}
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		lines = append(lines, name+":"+value)
	}
	for name := range r.Header { // all headers of Amazon must be signed
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(signed, strings.ToLower(name)) {
			return http.StatusForbidden, "AccessDenied"
		}
	}
	lines = append(lines, "", fields["SignedHeaders"], r.Header.Get("X-Amz-Content-Sha256"))
	request := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + fmt.Sprintf("%x", request)
	key := []byte("AWS4" + secretKey)
	for _, word := range append(scope[1:], text) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(word))
		key = m.Sum(nil)
	}
	if fields["Signature"] != fmt.Sprintf("%x", key) {
		return http.StatusForbidden, "SignatureDoesNotMatch"
	}
	return 0, ""
}

func encodeEach(path string) string {
	var out []string
	for s := range strings.SplitSeq(path, "/") {
		out = append(out, strings.ReplaceAll(url.QueryEscape(s), "+", "%20"))
	}
	return strings.Join(out, "/")
}

func encodedQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

func (s *strictServer) answer(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && key == "" && q.Get("list-type") == "2":
		s.list(w, q)
	case r.Method == http.MethodGet && key == "" && q.Has("uploads"):
		s.listUploads(w, q)
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		o := s.objects[key]
		if o == nil {
			answerError(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		if o.meta != "" {
			w.Header().Set("X-Amz-Meta-Gatehouse-Upload", o.meta)
		}
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
			return
		}
		http.ServeContent(w, r, "", now, bytes.NewReader(o.data))
	case r.Method == http.MethodPut && q.Has("uploadId"):
		s.part(w, q, body)
	case r.Method == http.MethodPut:
		s.create(w, r, key, &object{body, r.Header.Get("X-Amz-Meta-Gatehouse-Upload")})
	case r.Method == http.MethodPost && q.Has("uploads"):
		id := fmt.Sprintf("upload/%d+=", len(s.uploads)+1)
		s.uploads[id] = &pending{key, r.Header.Get("X-Amz-Meta-Gatehouse-Upload"), map[int][]byte{}, now}
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case r.Method == http.MethodPost && q.Has("uploadId"):
		s.complete(w, r, q.Get("uploadId"), body)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		if s.uploads[q.Get("uploadId")] == nil {
			answerError(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
		delete(s.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		answerError(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func (s *strictServer) list(w http.ResponseWriter, q url.Values) {
	type content struct {
		Key  string
		Size int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string
	}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= q.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == 1000 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[999].Key
			break
		}
		page.Contents = append(page.Contents, content{key, len(s.objects[key].data)})
	}
	_ = xml.NewEncoder(w).Encode(page)
}

func (s *strictServer) listUploads(w http.ResponseWriter, q url.Values) {
	type upload struct{ Key, UploadId, Initiated string }
	var page struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		Upload             []upload
		IsTruncated        bool
		NextKeyMarker      string
		NextUploadIdMarker string
	}
	var all []upload
	for id, u := range s.uploads {
		if strings.HasPrefix(u.key, q.Get("prefix")) {
			all = append(all, upload{u.key, id, u.begun.Format("2006-01-02T15:04:05.000Z")})
		}
	}
	slices.SortFunc(all, func(x, y upload) int {
		return cmp.Or(strings.Compare(x.Key, y.Key), strings.Compare(x.UploadId, y.UploadId))
	})
	for _, u := range all {
		if after := cmp.Or(strings.Compare(u.Key, q.Get("key-marker")), strings.Compare(u.UploadId, q.Get("upload-id-marker"))); after <= 0 {
			continue
		}
		if len(page.Upload) == 1000 {
			last := page.Upload[999]
			page.IsTruncated, page.NextKeyMarker, page.NextUploadIdMarker = true, last.Key, last.UploadId
			break
		}
		page.Upload = append(page.Upload, u)
	}
	_ = xml.NewEncoder(w).Encode(page)
}

func (s *strictServer) part(w http.ResponseWriter, q url.Values, body []byte) {
	u := s.uploads[q.Get("uploadId")]
	n, err := strconv.Atoi(q.Get("partNumber"))
	if u == nil || err != nil || n < 1 || n > 10_000 {
		answerError(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	u.parts[n] = body
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(body))))
}

func (s *strictServer) create(w http.ResponseWriter, r *http.Request, key string, o *object) bool {
	if r.Header.Get("If-None-Match") == "*" && s.objects[key] != nil {
		answerError(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	s.objects[key] = o
	return true
}

func (s *strictServer) complete(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	var in struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	u := s.uploads[id]
	if u == nil || xml.Unmarshal(body, &in) != nil {
		answerError(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	var data []byte
	for i, p := range in.Part {
		b, ok := u.parts[p.PartNumber]
		if !ok || p.PartNumber != i+1 || p.ETag != fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(b))) {
			answerError(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		if i < len(in.Part)-1 && len(b) < part {
			answerError(w, http.StatusBadRequest, "EntityTooSmall")
			return
		}
		data = append(data, b...)
	}
	if s.create(w, r, u.key, &object{data, u.meta}) {
		delete(s.uploads, id)
		_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Key>%s</Key></CompleteMultipartUploadResult>", url.QueryEscape(u.key))
	}
}

// toLoopback connects to an address whatever the host is.
func toLoopback(address string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}
