#!/bin/bash
# A developer lets a pipeline act for them, once: the device flow by curl and jq. The last line is the pipeline's secret.
set -euo pipefail

started=$(curl -sS -X POST "$AUTH_SERVER/oauth/device/code" -d "client_id=$CLIENT_ID")
device=$(jq -r '.device_code' <<<"$started")
# A test cannot sit through the seconds that the server names, so PAUSE may stand in for them.
pause=${PAUSE:-$(jq -r '.interval' <<<"$started")}
echo "open $(jq -r '.verification_uri' <<<"$started")"
echo "code $(jq -r '.user_code' <<<"$started")"

while true; do
  sleep "$pause"
  answer=$(curl -sS -X POST "$AUTH_SERVER/oauth/token" \
    -d "grant_type=urn:ietf:params:oauth:grant-type:device_code" \
    -d "device_code=$device" \
    -d "client_id=$CLIENT_ID")
  problem=$(jq -r '.error // empty' <<<"$answer")
  case $problem in
    "") break ;;
    authorization_pending | slow_down) ;;
    *) echo "refused: $problem" >&2; exit 1 ;;
  esac
done
echo "refresh $(jq -r '.refresh_token' <<<"$answer")"
