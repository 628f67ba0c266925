package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// noKey is the extension by which an operation says why it takes no Idempotency-Key.
const noKey = "x-no-idempotency-key"

// idempotency adds the header Idempotency-Key to each POST that needs a token, and to the
// description of those that say why they do not take it, what they say.
func idempotency(doc object) error {
	var wrong []error
	for at, op := range operations(doc) {
		why, without := op[noKey].(string)
		delete(op, noKey)
		post := strings.HasPrefix(at, "POST ")
		switch {
		case without && (!post || public(op) || why == ""):
			wrong = append(wrong, fmt.Errorf("%s: %s is for the POSTs that could take a key, with a reason", at, noKey))
		case without:
			text, _ := op["description"].(string)
			op["description"] = strings.TrimSpace(strings.TrimSpace(text) + "\n\nTakes no `Idempotency-Key`: " + why + ".")
		case post && !public(op):
			if kinds := bodies(op); len(kinds) > 0 && !slices.Equal(kinds, []string{"application/json"}) {
				wrong = append(wrong, fmt.Errorf("%s: with an Idempotency-Key the body must be JSON; or say %s", at, noKey))
			}
			parameters, _ := op["parameters"].([]any)
			op["parameters"] = append(parameters, object{"$ref": "#/components/parameters/IdempotencyKey"})
		}
	}
	return errors.Join(wrong...)
}

// public reports whether an operation needs no token: there is nobody whose keys they would be.
func public(op object) bool {
	needs, _ := op["security"].([]any)
	return len(needs) == 0
}

// bodies returns the media types that an operation takes.
func bodies(op object) []string {
	body, _ := op["requestBody"].(object)
	content, _ := body["content"].(object)
	return slices.Sorted(maps.Keys(content))
}
