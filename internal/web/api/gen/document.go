package gen

import _ "embed"

// Document is the OpenAPI document of the interface.
//
//go:embed openapi.json
var Document []byte
