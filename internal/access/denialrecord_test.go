package access

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDenialRecordRoundTrip(t *testing.T) {
	want := &DenialRecord{
		RequestID: "ABCDEFGH23456789", At: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), Method: "POST", Host: "api.example.com",
		Path: "/shop/v1/orders", Route: "0193", RouteName: "shop/v1", Caller: RecordedCaller{By: ByToken, Client: "app", User: "0194"},
		IP: "192.0.2.1", Status: 403,
		Denial: RecordedDenial{
			Rule: "scope", Reason: "The token has not all scopes.", Needed: []string{"orders:write"}, Had: []string{"orders:read"},
			Remedy: "Ask for a token with the scope orders:write.", Code: "insufficient_scope", Scope: []string{"orders:write"}, MaxAge: Duration(time.Minute),
		},
	}
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadDenialRecord(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestDenialRecordIsBounded(t *testing.T) {
	for what, s := range map[string]string{
		"long": strings.Repeat("a", 1<<20), "quotes": strings.Repeat(`"`, 1<<20), "markup": strings.Repeat("<", 1<<20), "wide": strings.Repeat("é", 1<<19),
		"control": strings.Repeat("\x1b", 1<<20), "broken": strings.Repeat("\xff", 1<<20),
	} {
		t.Run(what, func(t *testing.T) {
			list := make([]string, 10_000)
			for i := range list {
				list[i] = s
			}
			r := &DenialRecord{
				RequestID: s, Method: s, Host: s, Path: s, Route: s, RouteName: s, Caller: RecordedCaller{s, s, s}, IP: s,
				Denial: RecordedDenial{
					Rule:   s,
					Reason: s,
					Needed: list,
					Had:    list,
					Remedy: s,
					Code:   s,
					Scope:  list,
					ACR:    s,
				},
			}
			data, err := r.Encode()
			if err != nil || len(data) > 40_000 || !utf8.Valid(data) {
				t.Fatalf("%d bytes, %v; want at most 40,000 of UTF-8", len(data), err)
			}
			if len(r.Denial.Needed) != 10_000 || r.Path != s {
				t.Error("encoding has changed the record")
			}
			got, err := ReadDenialRecord(data)
			if err != nil || !strings.HasSuffix(got.Path, "…") || len(got.Denial.Had) != maxRecordList+1 {
				t.Errorf("read as %.80v, %v; want texts and lists that say that they were cut", got, err)
			}
		})
	}
}

func TestDamagedDenialRecord(t *testing.T) {
	for _, data := range []string{"", "{", `{"status":"x"}`, "[]"} {
		if got, err := ReadDenialRecord([]byte(data)); err == nil {
			t.Errorf("%q is read as %+v", data, got)
		}
	}
}
