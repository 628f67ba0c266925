package api_test

import (
	"testing"
)

func TestStoryOfWebhooks(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"GET", "/api/v1/webhooks", "", 200, is{"total": 0}},
		{"POST", "/api/v1/webhooks", `{"url":"ftp://example.com/","events":["*"]}`, 400, is{"error": "validation_error"}},
		{"POST", "/api/v1/webhooks", `{"url":"https://u:p@example.com/","events":["*"]}`, 400, is{"error": "validation_error"}},
		{"POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["user.nothing"]}`, 400, nil},
		{"POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["*"],"id":"mine"}`, 400, nil},
		{"POST", "/api/v1/webhooks", `{"url":"https://example.com/hook","events":["user.*","Scope.Created"]}`, 201, is{
			"active": true, "version": 1, "events": "[user.* scope.created]", "description": "",
		}},
		{"GET", "/api/v1/webhooks/{id}", "", 200, is{"version": 1, "secret": nil, "previous_secret_until": nil}},
		{"PATCH", "/api/webhooks/{id}", `{"active":false,"description":"x","version":1}`, 200, is{
			"active": false, "description": "x", "version": 2,
		}},
		{"PATCH", "/api/webhooks/{id}", `{"description":null,"version":9}`, 400, nil},
		{"PATCH", "/api/webhooks/{id}", `{"description":null}`, 200, is{"description": "", "version": 3}},
		{"PATCH", "/api/webhooks/{id}", `{}`, 200, is{"version": 3}},
		{"PATCH", "/api/webhooks/{id}", `{"url":null}`, 400, nil},
		{"PATCH", "/api/webhooks/{id}", `{"events":[]}`, 400, nil},
		{"POST", "/api/v1/webhooks/{id}/rotate_secret", `{"overlap":60}`, 200, is{"version": 4}},
		{"POST", "/api/v1/webhooks/{id}/rotate_secret", `{"overlap":9999999}`, 400, nil},
		{"GET", "/api/v1/webhooks/{id}/deliveries?state=sent", "", 200, is{"total": 0, "limit": 50}},
		{"GET", "/api/v1/webhooks/{id}/deliveries?state=lost", "", 400, nil},
		{"POST", "/api/v1/webhooks/{id}/deliveries/x/resend", "", 404, nil},
		{"GET", "/api/v1/audit-sinks", "", 200, nil},
		{"GET", "/api/v1/audit-sinks/gaps?sink=file", "", 200, is{"data": "[]"}},
		{"DELETE", "/api/v1/webhooks/{id}", "", 204, nil},
		{"GET", "/api/v1/webhooks/{id}", "", 404, nil},
	})
}

// TestWebhooksShowTheLog checks that who may not read the audit log cannot have it sent somewhere.
func TestWebhooksShowTheLog(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		scopes string
		status int
	}{
		{"admin:webhooks:read", 403},
		{"admin:webhooks:write", 403},
		{"admin:audit:read", 403},
		{"admin:webhooks:write,admin:audit:read", 201},
	} {
		w := h.call("POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["*"]}`,
			"Authorization", "Bearer "+tt.scopes)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.scopes, w.Code, w.Body)
		}
	}
}

// TestWebhooksKeepTheirVersion checks that a change that is based on an old version is rejected.
func TestWebhooksKeepTheirVersion(t *testing.T) {
	h := newHarness(t)
	created := h.document(h.call("POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["*"]}`,
		"Authorization", all))
	at := "/api/v1/webhooks/" + created["id"].(string)
	for _, tt := range []struct {
		tag, description string
		status           int
	}{
		{`"v1"`, "first", 200},
		{`"v1"`, "second", 412},
		{`W/"v2"`, "third", 412},
		{`"v2"`, "fourth", 200},
		{`*`, "fifth", 200},
	} {
		w := h.call("PATCH", at, `{"description":"`+tt.description+`"}`, "Authorization", all, "If-Match", tt.tag)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.tag, w.Code, w.Body)
		}
	}
	if w := h.call("DELETE", at, "", "Authorization", all, "If-Match", `"v1"`); w.Code != 412 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
}
