# What the host names lead to, and what answers there. No redirect is followed.
echo '[]' >"$work/dns"
echo '[]' >"$work/http"
cat "$out"/kubernetes/*/ingresses*.json 2>/dev/null |
  jq -r '.items[].spec.rules[]?.host // empty' | sort -u >"$work/names"
while read -r HOST; do
  addresses=$(getent ahostsv4 "$HOST" | awk '{print $1}' | sort -u | jq -R . | jq -s .)
  jq --arg name "$HOST" --argjson answers "${addresses:-[]}" \
    '. + [{name: $name, type: "A", answers: $answers,
           error: (if $answers == [] then "NXDOMAIN" else null end)}]' "$work/dns" >"$work/new" &&
    mv "$work/new" "$work/dns"
  if curl -s --max-time 10 -o "$work/body" -w '%{http_code} %{redirect_url}' "https://$HOST/" \
    >"$work/answer" 2>/dev/null </dev/null; then
    read -r status location <"$work/answer"
    jq --arg url "https://$HOST/" --argjson status "$status" --arg location "${location:-}" \
      '. + [{url: $url, method: "GET", status: $status,
             headers: (if $location == "" then {} else {location: $location} end)}]' \
      "$work/http" >"$work/new" && mv "$work/new" "$work/http"
  else
    error=$?
    case $error in
      6) error='dns: no such host' ;;
      7 | 28) error="connect: curl ended with $error" ;;
      35 | 51 | 58 | 60) error="tls: curl ended with $error" ;;
      *) error="http: curl ended with $error" ;;
    esac
    jq --arg url "https://$HOST/" --arg error "$error" \
      '. + [{url: $url, method: "GET", error: $error}]' "$work/http" >"$work/new" &&
      mv "$work/new" "$work/http"
  fi
done <"$work/names"
mkdir -p "$out/probes"
mv "$work/dns" "$out/probes/dns.json"
mv "$work/http" "$out/probes/http.json"

