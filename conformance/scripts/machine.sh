#!/bin/bash
# A job that acts for itself: one token by curl and jq, then a call with it.
set -euo pipefail

token=$(curl -sS -X POST "$AUTH_SERVER/oauth/token" -u "$CLIENT_ID:$CLIENT_SECRET" \
  -d "grant_type=client_credentials&scope=metrics:read" | jq -r '.access_token')
curl -sS -H "Authorization: Bearer $token" "$API"
