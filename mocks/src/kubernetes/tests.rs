use kfcheck::Bundle;
use serde_json::{Value, json};

use super::{
    Kind, KubernetesMock,
    wire::{get, get_with, messages, send, talk},
};
use crate::{Served, Server};

const AGGREGATED: &str = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json\r\n";

fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
    })
}

fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> Kind {
    let [group, version, kind, plural] = [group, version, kind, plural].map(str::to_owned);
    Kind { group, version, kind, plural, namespaced: true }
}

fn mock(bundle: &Bundle) -> KubernetesMock {
    KubernetesMock::new(Served::of(bundle))
}

async fn serve(bundle: &Bundle) -> Server {
    mock(bundle).start().await.expect("a free port")
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

fn pods(names: &[&str]) -> Bundle {
    let pods: Vec<_> = names.iter().map(|name| object("v1", "Pod", Some("kf"), name)).collect();
    Bundle::default().with("kubernetes/all.json", list(&pods))
}

#[tokio::test]
async fn objects_are_served_as_a_server_serves_them() {
    let bundle = pods(&["b", "a"]).with(
        "kubernetes/gateways.json",
        object("networking.istio.io/v1beta1", "Gateway", Some("kf"), "g"),
    );
    let server = serve(&bundle).await;
    let all = get(server.address(), "/api/v1/pods?limit=500").await.json();
    assert_eq!((&all["kind"], &all["apiVersion"]), (&json!("PodList"), &json!("v1")));
    assert_eq!(names(&all), ["a", "b"]);
    let item = &all["items"][0];
    assert!(item.get("kind").is_none() && item.get("apiVersion").is_none(), "{item}");
    let metadata = &item["metadata"];
    assert_eq!(metadata["managedFields"][0]["operation"], "Update");
    assert!(metadata["uid"].is_string() && metadata["resourceVersion"].is_string(), "{item}");

    let path = "/apis/networking.istio.io/v1beta1/namespaces/kf/gateways";
    let custom = get(server.address(), path).await.json();
    assert_eq!(custom["items"][0]["kind"], "Gateway");
    let one = get(server.address(), &format!("{path}/g")).await.json();
    assert_eq!(one["apiVersion"], "networking.istio.io/v1beta1");

    let none = get(server.address(), "/api/v1/namespaces/other/pods").await;
    assert_eq!((none.status, names(&none.json()).len()), (200, 0));
    let missing = get(server.address(), "/api/v1/namespaces/kf/pods/x").await;
    assert_eq!((missing.status, &missing.json()["reason"]), (404, &json!("NotFound")));
    assert_eq!(missing.json()["message"], "pods \"x\" not found");
    assert_eq!(server.unknown(), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let server = mock(&pods(&["a", "b", "c"])).page_size(2).start().await.unwrap();
    let first = get(server.address(), "/api/v1/pods?limit=500").await.json();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = format!("/api/v1/pods?limit=500&continue={token}");
    let second = get(server.address(), &next).await.json();
    assert_eq!(names(&second), ["c"]);
    assert!(second["metadata"].get("continue").is_none(), "{second}");
    for all in ["/api/v1/pods", "/api/v1/pods?limit=1&resourceVersion=0"] {
        assert_eq!(names(&get(server.address(), all).await.json()).len(), 3, "{all}");
    }
}

#[tokio::test]
async fn an_expired_page_comes_with_a_token_that_works() {
    let server = mock(&pods(&["a", "b", "c"])).expiring(1).start().await.unwrap();
    let token = |of: &Value| of["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    let page = |token: String| format!("/api/v1/pods?limit=1&continue={token}");
    let first = get(server.address(), "/api/v1/pods?limit=1").await.json();
    let expired = get(server.address(), &page(token(&first))).await;
    assert_eq!((expired.status, &expired.json()["reason"]), (410, &json!("Expired")));
    let second = get(server.address(), &page(token(&expired.json()))).await.json();
    assert_eq!(names(&second), ["b"]);
    assert_eq!(names(&get(server.address(), &page(token(&second))).await.json()), ["c"]);
}

#[tokio::test]
async fn selectors_select() {
    let event = |name: &str, kind: &str, reason: &str| {
        let mut event = object("v1", "Event", Some("kf"), name);
        event["involvedObject"] = json!({ "kind": kind, "name": "i" });
        event["reason"] = json!(reason);
        event
    };
    let events = list(&[event("a", "Ingress", "Sync"), event("b", "Pod", "Sync")]);
    let server = serve(&pods(&["a", "b"]).with("kubernetes/events.json", events)).await;
    let path = "/api/v1/events?fieldSelector=involvedObject.kind%3DIngress%2Creason%21%3DError";
    assert_eq!(names(&get(server.address(), path).await.json()), ["a"]);
    let path = "/api/v1/pods?labelSelector=app+in+%28b%2Cc%29";
    assert_eq!(names(&get(server.address(), path).await.json()), ["b"]);
    let path = "/api/v1/pods?fieldSelector=involvedObject.kind%3DIngress";
    assert_eq!(get(server.address(), path).await.status, 400);
    assert_eq!(server.unknown().len(), 1);
}

#[tokio::test]
async fn discovery_says_the_same_in_both_forms() {
    let bundle = pods(&["a"])
        .with("kubernetes/i.json", object("extensions/v1beta1", "Ingress", Some("kf"), "i"))
        .with("bundle.yaml", json!({ "errors": { "kubernetes/jobs.batch": { "absent": "x" } } }));
    let more = [
        kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
        kind("extensions", "v1beta2", "Ingress", "ingresses"),
        kind("batch", "v1", "Job", "jobs"),
        kind("serving.knative.dev", "v1", "Pod", "pods"),
    ];
    let server = mock(&bundle).installing(more.clone()).start().await.unwrap();
    let answer = get_with(server.address(), "/apis", AGGREGATED).await;
    assert!(answer.head.contains("application/json;g=apidiscovery.k8s.io;v=v2;as="));
    let all = answer.json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(all["items"][0]["metadata"]["name"], "extensions");
    assert_eq!(all["items"][0]["versions"][0]["version"], "v1beta1");
    assert_eq!(all["items"][0]["versions"][0]["resources"][0]["resource"], "ingresses");
    assert_eq!(all["items"][1]["metadata"]["name"], "serving.knative.dev");
    let core = get_with(server.address(), "/api", AGGREGATED).await.json();
    let pods = &core["items"][0]["versions"][0]["resources"][0];
    assert_eq!(pods["subresources"][1]["subresource"], "log", "{core}");

    let plain = mock(&bundle).installing(more).without_aggregated_discovery();
    let plain = plain.start().await.unwrap();
    let groups = get_with(plain.address(), "/apis", AGGREGATED).await.json();
    assert_eq!(groups["kind"], "APIGroupList");
    assert_eq!(groups["groups"][0]["preferredVersion"]["groupVersion"], "extensions/v1beta1");
    let resources = get(plain.address(), "/apis/extensions/v1beta1").await.json();
    assert_eq!(resources["resources"][0]["kind"], "Ingress");
    assert_eq!(get(plain.address(), "/api").await.json()["versions"], json!(["v1"]));
}

#[tokio::test]
async fn objects_of_several_versions_are_served_in_that_of_most() {
    let of = |version: &str, name: &str| {
        object(&format!("networking.istio.io/{version}"), "Gateway", Some("kf"), name)
    };
    let all = list(&[of("v1alpha3", "a"), of("v1beta1", "b"), of("v1alpha3", "c")]);
    let server = serve(&Bundle::default().with("kubernetes/g.json", all)).await;
    let all = get(server.address(), "/apis/networking.istio.io/v1alpha3/gateways").await.json();
    assert_eq!(names(&all), ["a", "b", "c"]);
    assert_eq!(all["items"][1]["apiVersion"], "networking.istio.io/v1alpha3");
    let other = get(server.address(), "/apis/networking.istio.io/v1beta1/gateways").await;
    assert_eq!((other.status, &*other.text()), (404, "404 page not found\n"));
    assert_eq!(server.unknown(), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_not_collected_is_not_empty() {
    let bundle = pods(&["a"]).with("kubernetes/jobs.batch.json", list(&[]));
    let more =
        [kind("batch", "v1", "Job", "jobs"), kind("apps", "v1", "Deployment", "deployments")];
    let server = mock(&bundle).installing(more).start().await.unwrap();
    let jobs = get(server.address(), "/apis/batch/v1/jobs").await;
    assert_eq!((jobs.status, names(&jobs.json()).len()), (200, 0));
    let deployments = get(server.address(), "/apis/apps/v1/deployments").await;
    assert_eq!(deployments.status, 501);
    assert_eq!(deployments.json()["message"], "the bundle holds no deployments");
    assert_eq!(get(server.address(), "/api/v1/services").await.status, 404);
    assert_eq!(get(server.address(), "/version").await.status, 501);
    assert_eq!(server.unknown(), Vec::<String>::new());
}

#[tokio::test]
async fn what_kept_a_run_from_an_answer_keeps_the_next_one_too() {
    let errors = json!({
        "kubernetes/pods": { "denied": { "permission": "list pods" } },
        "kubernetes/pods#x": { "unreachable": "etcdserver: leader changed" },
        "kubernetes/logs/kf/a/c.log": { "denied": { "permission": "get pods/log" } },
    });
    let bundle = pods(&["a"]).with("bundle.yaml", json!({ "errors": errors }));
    let server = serve(&bundle).await;
    let all = get(server.address(), "/api/v1/pods").await;
    assert_eq!((all.status, &all.json()["reason"]), (403, &json!("Forbidden")));
    let message = "pods is forbidden: User \"kfcheck\" cannot list resource \"pods\" in API group \
                   \"\" at the cluster scope";
    assert_eq!(all.json()["message"], message);
    let other = get(server.address(), "/api/v1/namespaces/y/pods").await.json();
    assert!(other["message"].as_str().unwrap().ends_with(" in the namespace \"y\""), "{other}");
    // These were read by the name of their namespace.
    assert_eq!(get(server.address(), "/api/v1/namespaces/kf/pods").await.status, 200);
    assert_eq!(get(server.address(), "/api/v1/namespaces/x/pods").await.status, 503);
    let log = get(server.address(), "/api/v1/namespaces/kf/pods/a/log?container=c").await;
    let message = "pods \"a\" is forbidden: User \"kfcheck\" cannot get resource \"pods/log\" in \
                   API group \"\" in the namespace \"kf\"";
    assert_eq!(log.json()["message"], message);

    let review = |resource: &str| {
        let asked = json!({ "verb": "list", "resource": resource });
        let spec = json!({ "resourceAttributes": asked });
        json!({ "kind": "SelfSubjectAccessReview", "spec": spec }).to_string()
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let request = format!("POST {path} HTTP/1.1\r\nConnection: close\r\n");
    for (resource, is_allowed) in [("pods", false), ("services", true)] {
        let answer = send(server.address(), &request, &review(resource)).await.unwrap();
        assert_eq!(answer.status, 201);
        assert_eq!(answer.json()["status"]["allowed"], is_allowed, "{resource}");
    }
}

#[tokio::test]
async fn a_log_is_served_from_its_end() {
    let path = "kubernetes/logs/kf/a/c.log";
    let server = serve(&pods(&["a"]).with_text(path, "one\ntwo\nthree\n")).await;
    let log = "/api/v1/namespaces/kf/pods/a/log";
    let tail = get(server.address(), &format!("{log}?container=c&tailLines=2")).await;
    assert_eq!((tail.status, &*tail.text()), (200, "two\nthree\n"));
    let cut = get(server.address(), &format!("{log}?container=c&limitBytes=2")).await;
    assert_eq!(cut.text(), "on");
    let none = get(server.address(), &format!("{log}?container=other")).await;
    assert_eq!((none.status, &none.json()["kind"]), (500, &json!("Status")));
    assert_eq!(server.unknown(), Vec::<String>::new());
}

#[tokio::test]
async fn sockets_are_printed_by_a_command_in_the_pod() {
    let sockets = json!([
        { "address": "0.0.0.0", "port": 80 },
        { "address": "127.0.0.1", "port": 8080 },
        { "address": "::1", "port": 8081 },
    ]);
    let entry = json!({ "namespace": "kf", "pod": "a", "container": "c", "sockets": sockets });
    let server = serve(&pods(&["a"]).with("probes/listen.json", json!([entry]))).await;
    let exec = |pod: &str, command: &str| {
        format!("/api/v1/namespaces/kf/pods/{pod}/exec?stdout=true&{command}")
    };
    let cat = "command=cat&command=/proc/net/tcp&command=/proc/net/tcp6";
    let answer = talk(server.address(), &exec("a", cat)).await;
    assert_eq!(answer.status, 101);
    assert!(answer.head.contains("sec-websocket-protocol: v5.channel.k8s.io"), "{}", answer.head);
    let all = messages(&answer.body);
    let printed: Vec<u8> = all
        .iter()
        .filter(|(opcode, content)| *opcode == 2 && content[0] == 1)
        .flat_map(|(_, content)| content[1..].to_vec())
        .collect();
    let printed = String::from_utf8(printed).unwrap();
    for local in ["00000000:0050", "0100007F:1F90", "00000000000000000000000001000000:1F91"] {
        let listens = printed.lines().filter(|line| line.contains(" 0A "));
        assert_eq!(listens.filter(|line| line.contains(local)).count(), 1, "{printed}");
    }
    let status = br#"{"metadata":{},"status":"Success"}"#;
    let last = all.iter().rfind(|(opcode, _)| *opcode == 2).unwrap();
    assert_eq!((last.1[0], &last.1[1..]), (3, &status[..]));
    assert_eq!(all.last(), Some(&(8, 1000u16.to_be_bytes().to_vec())));

    assert_eq!(get(server.address(), &exec("b", cat)).await.status, 500);
    assert_eq!(server.unknown(), Vec::<String>::new());
    assert_eq!(get(server.address(), &exec("a", "command=sh&command=-c")).await.status, 501);
    assert_eq!(server.unknown().len(), 1);
}

#[tokio::test]
async fn what_no_right_client_asks_is_noted() {
    let server = serve(&pods(&["a"])).await;
    for target in ["/metrics", "/api/v1/pods?watch=true", "/api/v1/pods?limit=many"] {
        assert!(get(server.address(), target).await.status >= 400, "{target}");
    }
    let request = "DELETE /api/v1/namespaces/kf/pods/a HTTP/1.1\r\nConnection: close\r\n";
    assert_eq!(send(server.address(), request, "").await.unwrap().status, 501);
    assert_eq!(server.unknown().len(), 4, "{:?}", server.unknown());
}

#[tokio::test]
async fn the_version_is_that_of_the_bundle_or_another() {
    let version = json!({ "kubernetes": { "serverVersion": "v1.29.3-gke.1" } });
    let bundle = pods(&["a"]).with("bundle.yaml", version);
    let server = serve(&bundle).await;
    let version = get(server.address(), "/version").await.json();
    assert_eq!(version["gitVersion"], "v1.29.3-gke.1");
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("29")));
    let server = mock(&bundle).server_version("v1.15.11").start().await.unwrap();
    assert_eq!(get(server.address(), "/version").await.json()["minor"], "15");
}
