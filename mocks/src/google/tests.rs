use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Documents, GoogleMock};
use crate::{Served, Server};

const COMPUTE: &str = "/compute/v1/projects/p";

fn documents() -> Arc<Documents> {
    static DOCUMENTS: OnceLock<Arc<Documents>> = OnceLock::new();
    let open = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/google-api");
        let documents = Documents::open(&folder).unwrap_or_else(|error| {
            panic!("no discovery documents; run scripts/discovery first: {error}")
        });
        Arc::new(documents)
    };
    Arc::clone(DOCUMENTS.get_or_init(open))
}

fn mock<const N: usize>(files: [(&str, Value); N]) -> GoogleMock {
    GoogleMock::new(Served::holding(files), documents())
}

async fn serve<const N: usize>(files: [(&str, Value); N]) -> Server {
    mock(files).start().await.unwrap()
}

fn manifest() -> (&'static str, Value) {
    let scope = json!({ "project": "p", "networkProject": "host", "location": "us-east1-b" });
    ("bundle", json!({ "gcp": scope }))
}

fn manifest_with(errors: &Value) -> (&'static str, Value) {
    let (name, mut manifest) = manifest();
    manifest["errors"] = errors.clone();
    (name, manifest)
}

async fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// What is answered; nothing goes unknown.
async fn get(server: &Server, path: &str) -> (u16, Value) {
    let answer = ask(server, "GET", path, "").await;
    assert_eq!(server.unknown(), Vec::<String>::new());
    answer
}

async fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let answer = ask(server, "POST", path, &body.to_string()).await;
    assert_eq!(server.unknown(), Vec::<String>::new());
    answer
}

fn link(path: &str) -> Value {
    json!(format!("https://www.googleapis.com/compute/v1/projects/{path}"))
}

fn names(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn backend_services() -> (&'static str, Value) {
    let services = json!([
        { "name": "b", "selfLink": link("p/global/backendServices/b"), "id": 12, "port": "80",
          "fromTheFuture": 1, "backends": [{ "group": link("p/zones/z/instanceGroups/c") }] },
        { "name": "c", "region": link("p/regions/r") },
        { "name": "a", "selfLink": link("p/global/backendServices/a") },
        { "name": "d", "selfLink": link("host/global/backendServices/d") },
    ]);
    ("gcp/compute/backendServices", services)
}

#[tokio::test]
async fn an_aggregated_list_groups_by_scope() {
    let server = serve([manifest(), backend_services()]).await;
    let path = format!("{COMPUTE}/aggregated/backendServices?$alt=json;enum-encoding=int");
    let (status, list) = get(&server, &path).await;
    assert_eq!(status, 200);
    assert_eq!(list["kind"], "compute#backendServiceAggregatedList");
    assert_eq!(list["id"], "projects/p/aggregated/backendServices");
    let scopes = list["items"].as_object().unwrap();
    assert_eq!(scopes.keys().collect::<Vec<_>>(), ["global", "regions/r", "regions/us-east1"]);
    let global = &scopes["global"]["backendServices"];
    assert_eq!(names(global), ["b", "a"]);
    assert_eq!((&global[0]["id"], &global[0]["port"]), (&json!("12"), &json!(80)));
    assert!(global[0].get("fromTheFuture").is_none());
    assert_eq!(names(&scopes["regions/r"]["backendServices"]), ["c"]);
    let warning = &scopes["regions/us-east1"]["warning"];
    assert_eq!(warning["code"], "NO_RESULTS_ON_PAGE");
}

#[tokio::test]
async fn lists_are_given_page_by_page() {
    let server = mock([manifest(), backend_services()]).page_size(2).start().await.unwrap();
    for path in ["aggregated/backendServices", "global/backendServices"] {
        let (mut token, mut seen, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let path = format!("{COMPUTE}/{path}?maxResults=500&pageToken={token}");
            let (_, list) = get(&server, &path).await;
            let found = match &list["items"] {
                Value::Object(scopes) => {
                    let parts = scopes.values().filter_map(|scope| scope.get("backendServices"));
                    parts.flat_map(|part| names(part)).map(str::to_owned).collect()
                }
                items => names(items).into_iter().map(str::to_owned).collect::<Vec<_>>(),
            };
            assert!(found.len() <= 2, "{found:?}");
            (pages, seen) = (pages + 1, [seen, found].concat());
            let Some(next) = list["nextPageToken"].as_str() else { break };
            next.clone_into(&mut token);
        }
        let expected: (i32, &[&str]) =
            if path.starts_with('a') { (2, &["b", "a", "c"]) } else { (1, &["b", "a"]) };
        assert_eq!((pages, &*seen.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }
    let (_, list) = get(&server, &format!("{COMPUTE}/global/backendServices?maxResults=1")).await;
    assert_eq!(names(&list["items"]), ["b"]);
    let (status, _) = get(&server, &format!("{COMPUTE}/global/backendServices?pageToken=x")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn one_project_is_asked_at_a_time() {
    let server = serve([manifest(), backend_services()]).await;
    let (_, list) = get(&server, "/compute/v1/projects/host/global/backendServices").await;
    assert_eq!(names(&list["items"]), ["d"]);
    let (status, error) = get(&server, "/compute/v1/projects/x/global/backendServices").await;
    assert_eq!((status, &error["error"]["errors"][0]["reason"]), (404, &json!("notFound")));
    assert_eq!(error["error"]["message"], "The resource 'projects/x' was not found");
}

#[tokio::test]
async fn one_item_is_found_where_it_is() {
    let regions = json!([{ "name": "r", "quotas": [{ "metric": "CPUS", "limit": "8" }] }]);
    let project = ("gcp/compute/project", json!({ "name": "p" }));
    let regions = ("gcp/compute/regions", regions);
    let server = serve([manifest(), backend_services(), project, regions]).await;
    let found = [
        ("global/backendServices/a", 200),
        ("regions/r/backendServices/c", 200),
        ("global/backendServices/c", 404),
        ("regions/r", 200),
        ("regions/q", 404),
    ];
    for (path, expected) in found {
        let (status, answer) = get(&server, &format!("{COMPUTE}/{path}")).await;
        assert_eq!(status, expected, "{path}: {answer}");
    }
    let (_, list) = get(&server, &format!("{COMPUTE}/regions")).await;
    assert_eq!(list["items"][0]["quotas"][0], json!({ "metric": "CPUS", "limit": 8 }));
    assert_eq!(get(&server, COMPUTE).await.1["name"], "p");
    assert_eq!(get(&server, "/compute/v1/projects/host").await.0, 501);
}

#[tokio::test]
async fn what_the_bundle_does_not_hold_is_not_implemented() {
    let server = serve([manifest(), ("gcp/compute/networkEndpoints", json!({}))]).await;
    let (status, error) = get(&server, &format!("{COMPUTE}/global/firewalls")).await;
    let message = "the bundle holds no gcp/compute/firewalls";
    assert_eq!((status, &error["error"]["message"]), (501, &json!(message)));
    let path = "zones/z/networkEndpointGroups/n/listNetworkEndpoints";
    assert_eq!(post(&server, &format!("{COMPUTE}/{path}"), json!({})).await.0, 501);
}

#[tokio::test]
async fn what_no_server_of_googles_knows_is_noted() {
    let server = serve([manifest(), backend_services()]).await;
    let requests = [
        ("GET", "/compute/v1/projects/p/global/backendService", "", 501),
        ("GET", "/v3/projects/p/locations/-/clusters", "", 501),
        ("PUT", "/compute/v1/projects/p/global/backendServices", "", 501),
        ("GET", "/compute/v1/projects/p/global/backendServices?pageSize=1", "", 501),
        ("GET", "/compute/v1/projects/p/global/backendServices?maxResults=-1", "", 400),
        ("GET", "/compute/v1/projects/p/global/backendServices?filter=x", "", 501),
        ("GET", "/compute/v1/projects/p/zones/z/instances/i/getEffectiveFirewalls", "", 501),
        ("DELETE", "/compute/v1/projects/p/global/backendServices/a", "", 501),
        ("POST", "/compute/v1/projects/p/global/backendServices/a/getHealth", r#"{"g":1}"#, 400),
        ("POST", "/compute/v1/projects/p/global/backendServices/a/getHealth", "{", 400),
        ("POST", "/v2/entries:list", r#"{"filter":"(","resourceNames":["projects/p"]}"#, 400),
        ("POST", "/v2/entries:list", "{}", 400),
    ];
    for (nth, (method, path, body, expected)) in requests.into_iter().enumerate() {
        let (status, error) = ask(&server, method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {error}");
        let noted = server.unknown();
        assert_eq!(noted.len(), nth + 1, "{method} {path}");
        assert!(noted[nth].starts_with(&format!("{method} {path}: ")), "{noted:?}");
    }
    let calls = server.calls();
    assert_eq!((calls.len(), calls[3].query.as_str()), (12, "pageSize=1"));
}

#[tokio::test]
async fn faults_come_as_each_api_says_them() {
    let denied = |permission: &str| json!({ "denied": { "permission": permission } });
    let errors = json!({
        "gcp/compute/firewalls": denied("compute.firewalls.list"),
        "gcp/compute/backendServiceHealth#b": denied("compute.backendServices.get"),
        "gcp/compute/routes": { "absent": "the API" },
        "gcp/compute/addresses": { "timedOut": { "secs": 20, "nanos": 0 } },
        "gcp/container/clusters": denied("container.clusters.list"),
        "gcp/dns/managedZones": denied("dns.managedZones.list"),
        "gcp/logging/entries": denied("logging.logEntries.list"),
    });
    let server = serve([manifest_with(&errors)]).await;
    let (status, error) = get(&server, &format!("{COMPUTE}/global/firewalls")).await;
    let message = "Required 'compute.firewalls.list' permission for 'projects/p'";
    let listed = json!([{ "message": message, "domain": "global", "reason": "forbidden" }]);
    let expected = json!({ "error": { "code": 403, "message": message, "errors": listed } });
    assert_eq!((status, error), (403, expected));

    let health = format!("{COMPUTE}/global/backendServices/b/getHealth");
    assert_eq!(post(&server, &health, json!({ "group": "g" })).await.0, 403);
    assert_eq!(get(&server, &format!("{COMPUTE}/global/routes")).await.0, 404);
    assert_eq!(get(&server, &format!("{COMPUTE}/aggregated/addresses")).await.0, 503);

    let (status, error) = get(&server, "/v1/projects/p/locations/-/clusters").await;
    let error = &error["error"];
    assert_eq!((status, &error["status"]), (403, &json!("PERMISSION_DENIED")));
    let message = "Required \"container.clusters.list\" permission(s) for \"projects/p\".";
    assert_eq!(error["message"], message);
    let (status, error) = get(&server, "/dns/v1/projects/p/managedZones").await;
    assert_eq!((status, &error["error"]["message"]), (403, &json!("Forbidden")));
    let request = json!({ "resourceNames": ["projects/p"] });
    let (status, error) = post(&server, "/v2/entries:list", request).await;
    let details = &error["error"]["details"][0];
    assert_eq!((status, &details["reason"]), (403, &json!("IAM_PERMISSION_DENIED")));
    assert_eq!(details["metadata"]["permission"], "logging.logEntries.list");
}

#[tokio::test]
async fn a_scope_that_does_not_answer_is_named() {
    let errors = json!({ "gcp/compute/backendServices#regions/r": { "unreachable": "503" } });
    let server = serve([manifest_with(&errors), backend_services()]).await;
    let path = format!("{COMPUTE}/aggregated/backendServices");
    let (_, list) = get(&server, &path).await;
    assert_eq!(list["unreachables"], json!(["regions/r"]));
    assert!(list["items"].get("regions/r").is_none());
    let regional = format!("{COMPUTE}/regions/r/backendServices");
    assert_eq!(get(&server, &regional).await.0, 503);
}

#[tokio::test]
async fn health_is_that_of_the_group_asked_for() {
    let sick = json!({ "healthStatus": [{ "healthState": "UNHEALTHY", "port": 80 }] });
    let health = json!({ "b": [
        { "backend": link("p/zones/z/instanceGroups/a"), "status": sick },
        { "backend": link("p/zones/z/instanceGroups/b"), "status": { "kind": "k" } },
    ] });
    let health = ("gcp/compute/backendServiceHealth", health);
    let server = serve([manifest(), backend_services(), health]).await;
    let path = format!("{COMPUTE}/global/backendServices/b/getHealth?$apiVersion=2026-09-01");
    let group = |name: &str| {
        let host = "https://compute.googleapis.com/compute/v1";
        json!({ "group": format!("{host}/projects/p/zones/z/instanceGroups/{name}") })
    };
    let (status, answer) = post(&server, &path, group("a")).await;
    assert_eq!(status, 200);
    assert_eq!(answer["kind"], "compute#backendServiceGroupHealth");
    assert_eq!(answer["healthStatus"], sick["healthStatus"]);
    assert_eq!(post(&server, &path, group("b")).await.1, json!({ "kind": "k" }));
    let unsaid = post(&server, &path, group("c")).await;
    assert!(unsaid.0 == 200 && unsaid.1.get("healthStatus").is_none(), "{unsaid:?}");
    assert_eq!(post(&server, &path, group("d")).await.0, 400);
    let regional = path.replace("global", "regions/r");
    assert_eq!(post(&server, &regional, group("a")).await.0, 200);
}

#[tokio::test]
async fn twin_groups_endpoints_are_given_once() {
    let group = |zone: &str| {
        let path = format!("p/zones/{zone}/networkEndpointGroups/n");
        json!({ "name": "n", "selfLink": link(&path), "zone": link(&format!("p/zones/{zone}")) })
    };
    let groups = json!([group("z2"), group("z1")]);
    let endpoints =
        json!({ "n": [{ "networkEndpoint": { "ipAddress": "10.0.0.1", "port": 80 } }] });
    let groups = ("gcp/compute/networkEndpointGroups", groups);
    let endpoints = ("gcp/compute/networkEndpoints", endpoints);
    let server = serve([manifest(), groups, endpoints]).await;
    for (zone, status, count) in [("z1", 200, 1), ("z2", 200, 0), ("z3", 404, 0)] {
        let path = format!("zones/{zone}/networkEndpointGroups/n/listNetworkEndpoints");
        let answer = post(&server, &format!("{COMPUTE}/{path}?maxResults=9"), json!({})).await;
        let items = answer.1["items"].as_array().map_or(0, Vec::len);
        assert_eq!((answer.0, items), (status, count), "{zone}");
    }
}

#[tokio::test]
async fn networks_and_routers_are_asked_by_name() {
    let firewalls = json!({ "net": { "firewalls": [{ "name": "f", "priority": "900" }] } });
    let status = json!({ "us-east1/router": { "result": { "network": "net" } } });
    let firewalls = ("gcp/compute/effectiveFirewalls", firewalls);
    let server = serve([manifest(), firewalls, ("gcp/compute/routerStatus", status)]).await;
    let path = format!("{COMPUTE}/global/networks/net/getEffectiveFirewalls");
    assert_eq!(get(&server, &path).await.1["firewalls"][0]["priority"], 900);
    assert_eq!(get(&server, &path.replace("/net/", "/ten/")).await.0, 501);
    let path = format!("{COMPUTE}/regions/us-east1/routers/router/getRouterStatus");
    let (_, answer) = get(&server, &path).await;
    assert_eq!(answer["result"]["network"], "net");
    assert_eq!(answer["kind"], "compute#routerStatusResponse");
}

#[tokio::test]
async fn clusters_and_operations_are_listed_by_location() {
    let host = "https://container.googleapis.com/v1/projects";
    let cluster = json!({ "name": "c", "location": "z", "zone": "z", "currentNodeCount": "3" });
    // Real operations name the project by its number.
    let operation = json!({ "name": "o", "selfLink": format!("{host}/1234/zones/z/operations/o") });
    let clusters = ("gcp/container/clusters", json!([cluster]));
    let server =
        serve([manifest(), clusters, ("gcp/container/operations", json!([operation]))]).await;
    // What Google's own client sends along.
    let (located, zoned) = ("projectId=&zone=&$alt=json;enum-encoding=int", "parent=");
    let places = ["locations/-", "locations/z", "zones/z", "zones/-"];
    for (place, query) in places.into_iter().zip([located, located, zoned, zoned]) {
        let path = format!("/v1/projects/p/{place}");
        let (_, list) = get(&server, &format!("{path}/clusters?{query}")).await;
        assert_eq!(names(&list["clusters"]), ["c"], "{place}");
        let (_, list) = get(&server, &format!("{path}/operations")).await;
        assert_eq!(names(&list["operations"]), ["o"], "{place}");
    }
    let (_, list) = get(&server, "/v1/projects/p/locations/y/clusters").await;
    assert_eq!(list, json!({ "clusters": [] }));
    let (_, found) = get(&server, "/v1/projects/p/locations/z/clusters/c").await;
    assert_eq!(found["currentNodeCount"], 3);
}

#[tokio::test]
async fn log_entries_are_those_of_the_logs_asked_for() {
    let entry = |log: &str, second: u8| {
        json!({ "logName": format!("projects/p/logs/{log}"), "insertId": second.to_string(),
                "timestamp": format!("2024-01-01T00:00:0{second}Z"), "jsonPayload": { "n": 1 } })
    };
    let entries = json!([entry("a", 2), entry("b%2Fc", 3), entry("a", 1), entry("d", 4)]);
    let server = serve([manifest(), ("gcp/logging/entries", entries)]).await;
    let path = "/v2/entries:list?$alt=json;enum-encoding=int";
    let mut request = json!({ "resourceNames": ["projects/p"], "orderBy": "timestamp desc",
        "pageSize": 2, "filter": r#"log_id("a") OR log_id("b/c")"# });
    let ids = |list: &Value| {
        let entries = list["entries"].as_array().unwrap().iter();
        entries.map(|e| e["insertId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (_, list) = post(&server, path, request.clone()).await;
    assert_eq!(ids(&list), ["3", "2"]);
    assert_eq!(list["entries"][0]["jsonPayload"], json!({ "n": 1 }));
    request["pageToken"] = list["nextPageToken"].clone();
    assert_eq!(ids(&post(&server, path, request).await.1), ["1"]);
    let unknown = json!({ "resourceNames": ["projects/x"] });
    assert_eq!(post(&server, path, unknown).await.0, 404);
}

#[tokio::test]
async fn zones_and_their_records_are_listed() {
    let zones = json!([{ "name": "z", "id": "77", "dnsName": "example.com." }]);
    let sets = json!({ "z": [
        { "name": "a.example.com.", "type": "A", "ttl": "300", "rrdatas": ["192.0.2.1"] },
        { "name": "a.example.com.", "type": "TXT", "rrdatas": ["x"] },
    ] });
    let zones = ("gcp/dns/managedZones", zones);
    let server = serve([manifest(), zones, ("gcp/dns/resourceRecordSets", sets)]).await;
    let path = "/dns/v1/projects/p/managedZones";
    let (_, list) = get(&server, path).await;
    assert_eq!(names(&list["managedZones"]), ["z"]);
    assert_eq!(list["kind"], "dns#managedZonesListResponse");
    for zone in ["z", "77"] {
        let path = format!("{path}/{zone}/rrsets?name=a.example.com.&type=A&$alt=json");
        let (_, list) = get(&server, &path).await;
        assert_eq!(names(&list["rrsets"]), ["a.example.com."]);
        assert_eq!(list["rrsets"][0]["ttl"], 300);
    }
    assert_eq!(get(&server, &format!("{path}/y/rrsets")).await.0, 404);
}

#[tokio::test]
async fn certificates_and_the_entries_of_one_map_are_listed() {
    let global = "projects/p/locations/global";
    let entry = |map: &str, entry: &str| json!({ "name": format!("{global}/certificateMaps/{map}/certificateMapEntries/{entry}") });
    let server = serve([
        manifest(),
        (
            "gcp/certificatemanager/certificates",
            json!([{ "name": format!("{global}/certificates/c") }]),
        ),
        (
            "gcp/certificatemanager/certificateMaps",
            json!([{ "name": format!("{global}/certificateMaps/empty") }]),
        ),
        ("gcp/certificatemanager/certificateMapEntries", json!([entry("a", "1"), entry("b", "2")])),
    ])
    .await;
    let (_, list) = get(&server, &format!("/v1/{global}/certificates?pageSize=0")).await;
    assert_eq!(names(&list["certificates"]), [format!("{global}/certificates/c")]);
    let entries = |map: &str| format!("/v1/{global}/certificateMaps/{map}/certificateMapEntries");
    let (_, list) = get(&server, &entries("b")).await;
    assert_eq!(list["certificateMapEntries"], json!([entry("b", "2")]));
    assert_eq!(get(&server, &entries("empty")).await.0, 200);
    assert_eq!(get(&server, &entries("gone")).await.0, 404);
}
