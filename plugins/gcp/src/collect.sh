#!/bin/sh
# Writes down what `kubectl kfcheck gcp` looks at into a folder that is named first (kfcheck-gcp).
# Secrets are left out. It reads and changes nothing, and needs kubectl, gcloud and jq.
# Look through what it wrote, then pack it: tar czf evidence.tar.gz FOLDER
set -u
out=${1:-kfcheck-gcp}
context=@CONTEXT@
project=@PROJECT@
location=@LOCATION@
cluster=@CLUSTER@
namespaces='@NAMESPACES@'

for tool in kubectl gcloud jq; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; install it and try again" >&2; exit 2; }
done
[ -e "$out" ] && { echo "$out is there already; name another folder" >&2; exit 2; }
mkdir -p "$out/.work" || exit 2
work=$out/.work
errors=$work/errors.json
echo '{}' >"$errors"

kubectl() { command kubectl ${context:+--context "$context"} "$@"; }

name=${context:-$(command kubectl config current-context 2>/dev/null)}
case $name in
  gke_*_*_*)
    rest=${name#gke_}
    project=${project:-${rest%%_*}}
    rest=${rest#*_}
    location=${location:-${rest%%_*}}
    cluster=${cluster:-${rest#*_}}
    ;;
esac
project=${project:-$(kubectl get nodes -o json 2>/dev/null |
  jq -r '[.items[].spec.providerID // empty | select(startswith("gce://")) | split("/")[2]][0] // empty')}
CLOUDSDK_CORE_PROJECT=$project
export CLOUDSDK_CORE_PROJECT

# note PLACE PERMISSION: why there is nothing at a place, from what the command said.
note() {
  says=$(grep -v '^ *$' "$work/said" | head -n 1 | cut -c 1-300)
  if grep -qiE 'forbidden|permission.*denied|required .* permission|PERMISSION_DENIED' "$work/said"; then
    fault=$(jq -n --arg permission "$2" '{denied: {permission: $permission}}')
  elif grep -qi "doesn't have a resource type" "$work/said"; then
    fault=$(jq -n --arg says "$says" '{absent: $says}')
  else
    fault=$(jq -n --arg says "$says" '{unreachable: $says}')
  fi
  jq --arg place "$1" --argjson fault "$fault" '.[$place] = $fault' "$errors" >"$work/new" &&
    mv "$work/new" "$errors"
  echo "not collected: $1: $says" >&2
}

# keep FILE PLACE PERMISSION FILTER COMMAND…: what a command prints, filtered, in a file.
keep() {
  file=$out/$1 place=$2 permission=$3 filter=$4
  shift 4
  if "$@" >"$work/printed" 2>"$work/said" && jq "$filter" "$work/printed" >"$work/kept" 2>>"$work/said"; then
    mkdir -p "$(dirname "$file")" && mv "$work/kept" "$file"
  else
    note "$place" "$permission"
  fi
}

# keep_entry FILE NAME PERMISSION COMMAND…: the same as one entry of a file of entries by name;
# lists of one name are put together.
keep_entry() {
  file=$out/$1.json place=$1#$2 entry=$2 permission=$3
  shift 3
  [ -e "$file" ] || { mkdir -p "$(dirname "$file")" && echo '{}' >"$file"; }
  if "$@" >"$work/printed" 2>"$work/said" &&
    jq --arg name "$entry" --slurpfile value "$work/printed" \
      '.[$name] = if (.[$name] | type) == "array" then .[$name] + $value[0] else $value[0] end' \
      "$file" >"$work/kept" 2>>"$work/said"; then
    mv "$work/kept" "$file"
  else
    note "$place" "$permission"
  fi
}

# have KIND: whether the cluster has a kind; where it doesn't say, that is found out by asking.
kubectl api-resources -o name >"$work/kinds" 2>/dev/null || rm -f "$work/kinds"
have() { [ ! -e "$work/kinds" ] || grep -qx "$1" "$work/kinds"; }

# absent PLACE: the cluster has no such kind, which is no trouble.
absent() {
  jq --arg place "$1" '.[$place] = {absent: "the cluster has no \($place | split("/")[1])"}' \
    "$errors" >"$work/new" && mv "$work/new" "$errors"
}

plain='del(.items[].metadata.managedFields,
  .items[].metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"],
  (.items[].spec | objects | .. | objects | .env, .envFrom, .args, .command))'
# Of a Secret, the names of its entries and whether there is anything in them.
secret="$plain | .items[].data |= with_entries(
  if (.key | IN(\"tls.crt\", \"ca.crt\", \"client_id\", \"clientId\")) or (.value // \"\") == \"\"
  then . else .value = \"KHJlZGFjdGVkKQ==\" end)"
# Of a ConfigMap, the audiences that it names, and of Knative's list of domains, these.
audiences="$plain | .items[] |= (.data = (
  if .metadata.name == \"config-domain\" then .data // {} | map_values(\"\") else {audiences:
  ([.data // {} | .[] | scan(\"/projects/[0-9]+/global/backendServices/[0-9]+\")] | join(\"\\n\"))} end) |
  del(.binaryData))"
# Of an object of Config Connector's, how it goes and what it refers to.
references='def target: with_entries(select(.key | IN("kind", "name", "namespace")));
  def kept: if type == "array" then map(kept | select(. != null)) | if . == [] then null else . end
    elif type == "object" then
      with_entries(if .key | test("Refs?$")
        then .value |= (if type == "array" then map(objects | target) elif type == "object" then target else null end)
        else .value |= kept end
        | select(.value != null)) | if . == {} then null else . end
    else null end;
  .items[] |= (del(.metadata.managedFields,
      .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"])
    | {apiVersion, kind, metadata, spec: (.spec | kept), status: {conditions: .status.conditions}})'

@CLUSTER_OBJECTS@
@CONFIG_CONNECTOR@
for NAMESPACE in $namespaces; do
@OBJECTS@
done

# The logs of what is not well, and of what sets up sign-in and names.
for NAMESPACE in $namespaces; do
  [ -e "$out/kubernetes/$NAMESPACE/pods.json" ] || continue
  jq -r '.items[] | .metadata.name as $pod
    | ([.status.conditions[]? | select(.type == "Ready" and .status == "True")] | length) as $ready
    | select($ready == 0 or ($pod | test("iap|envoy|cloud-endpoints")))
    | .spec.containers[].name as $container | "\($pod) \($container)"' \
    "$out/kubernetes/$NAMESPACE/pods.json" >"$work/containers"
  while read -r POD CONTAINER; do
    mkdir -p "$out/kubernetes/logs/$NAMESPACE/$POD"
    @LOG@ 2>/dev/null </dev/null |
      sed -E 's/([Bb]earer|[Pp]assw(or)?d["'"'"' ]*[:=]|[Ss]ecret["'"'"' ]*[:=]|[Tt]oken["'"'"' ]*[:=])[ "'"'"']*[^ "'"'"',]+/\1 (redacted)/g' \
      >"$out/kubernetes/logs/$NAMESPACE/$POD/$CONTAINER.log"
  done <"$work/containers"
done

@LISTS@

# The network may be another project's.
host=$(jq -r '[.[].networkInterfaces[0].network // empty | capture("projects/(?<p>[^/]+)/").p] | unique[]' \
  "$out/gcp/compute/instances.json" 2>/dev/null | grep -vx "$project" | head -n 1)
if [ -n "$host" ]; then
  for collection in firewalls networks subnetworks; do
    own=$out/gcp/compute/$collection.json
    case $collection in
@HOST_LISTS@
    esac
    if [ -e "$own" ] && [ -e "$out/host.json" ]; then
      jq -s add "$own" "$out/host.json" >"$work/kept" && mv "$work/kept" "$own"
    fi
    rm -f "$out/host.json"
  done
fi

jq -r '.[] | select(.name | test("^(k8s|gk)")) | "\(.name) \(.region // "" | split("/") | last // "")"' \
  "$out/gcp/compute/backendServices.json" 2>/dev/null >"$work/names"
while read -r NAME REGION; do
  if [ -n "$REGION" ]; then
    keep_entry gcp/compute/backendServiceHealth "$NAME" compute.backendServices.get \
      @REGIONAL_HEALTH@ </dev/null
  else
    keep_entry gcp/compute/backendServiceHealth "$NAME" compute.backendServices.get \
      @HEALTH@ </dev/null
  fi
done <"$work/names"

jq -r '.[] | select(.name | test("^k8s")) | "\(.name) \(.zone // "" | split("/") | last)"' \
  "$out/gcp/compute/networkEndpointGroups.json" 2>/dev/null >"$work/names"
while read -r NAME ZONE; do
  keep_entry gcp/compute/networkEndpoints "$NAME" compute.networkEndpointGroups.get \
    @ENDPOINTS@ </dev/null
done <"$work/names"

jq -r '[.[].networkInterfaces[0].network // empty | capture("projects/(?<p>[^/]+)/global/networks/(?<n>.+)")
  | "\(.n) \(.p)"] | unique[]' "$out/gcp/compute/instances.json" 2>/dev/null >"$work/names"
while read -r NAME PROJECT; do
  keep_entry gcp/compute/effectiveFirewalls "$NAME" compute.networks.getEffectiveFirewalls \
    @GUARDS@ </dev/null
done <"$work/names"

jq -r '.[] | select((.nats // []) != []) | "\(.name) \(.region | split("/") | last) \(.selfLink | capture("projects/(?<p>[^/]+)/").p)"' \
  "$out/gcp/compute/routers.json" 2>/dev/null >"$work/names"
while read -r NAME REGION PROJECT; do
  keep_entry gcp/compute/routerStatus "$REGION/$NAME" compute.routers.get \
    @ROUTER_STATUS@ </dev/null
done <"$work/names"

jq -r '.[] | select(.visibility == "private") | .name' "$out/gcp/dns/managedZones.json" 2>/dev/null >"$work/names"
while read -r NAME; do
  keep_entry gcp/dns/resourceRecordSets "$NAME" dns.resourceRecordSets.list \
    @RECORDS@ </dev/null
done <"$work/names"

# The certificate maps of load balancers, and what is in them.
maps=$({
  jq -r '.items[].metadata.annotations["networking.gke.io/certmap"] // empty' \
    "$out/kubernetes/gateways.gateway.networking.k8s.io.json"
  jq -r '.[].certificateMap // empty | split("/") | last' "$out/gcp/compute/targetHttpsProxies.json"
} 2>/dev/null | sort -u)
if [ -n "$maps" ]; then
@CERTIFICATES@
  for MAP in $maps; do
    # One that isn't there has no entries.
    if jq -e --arg end "/$MAP" 'any(.[].name; endswith($end)) | not' \
      "$out/gcp/certificatemanager/certificateMaps.json" >/dev/null 2>&1; then
      echo '[]' >"$out/more.json"
    else
      keep more.json @MAP_ENTRIES@
    fi
    entries=$out/gcp/certificatemanager/certificateMapEntries.json
    if [ -e "$out/more.json" ]; then
      mkdir -p "$(dirname "$entries")"
      [ -e "$entries" ] || echo '[]' >"$entries"
      jq -s add "$entries" "$out/more.json" >"$work/kept" && mv "$work/kept" "$entries"
      rm "$out/more.json"
    fi
  done
fi

@PROBES@
version=$(kubectl version -o json 2>/dev/null | jq -r '.serverVersion.gitVersion // empty')
jq -n --arg at "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --arg context "$name" --arg version "$version" \
  --arg project "$project" --arg location "$location" --arg cluster "$cluster" \
  --slurpfile errors "$errors" '
  def said: with_entries(select(.value != ""));
  {schemaVersion: 1, provider: "gcp", collectedAt: $at, errors: $errors[0],
   tool: {name: "kfcheck collect --script", version: "@VERSION@"},
   gcp: ({project: $project, location: $location, cluster: $cluster} | said),
   kubernetes: ({context: $context, serverVersion: $version} | said)}' >"$out/bundle.yaml"
rm -r "$work"
echo "$out holds what was seen; kubectl kfcheck gcp --bundle $out inspects it." >&2
