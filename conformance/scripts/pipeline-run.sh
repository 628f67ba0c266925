#!/bin/bash
# One run of a pipeline: the kept refresh token gives an access token, and the deployment is called with it.
set -euo pipefail

token=$(curl -sS -X POST "$AUTH_SERVER/oauth/token" \
  -d "grant_type=refresh_token" \
  -d "refresh_token=$REFRESH_TOKEN" \
  -d "client_id=$CLIENT_ID" | jq -r '.access_token')
curl -sS -X POST "$API" -H "Authorization: Bearer $token" -H "Content-Type: application/json" -d '{"repository":"a/b"}'
