// Package management is a typed client of Gatehouse's management API. Its types and RawClient are
// generated from the OpenAPI document that the server publishes at /api/openapi.json.
package management
