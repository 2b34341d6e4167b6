use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use hickory_proto::{
    op::{Edns, Message, Metadata, Query, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, CNAME},
    },
};
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::Served;

use super::{Notes, ldap, probes::Probes};

/// Seconds that an answer is good for.
const TTL: u32 = 60;

/// The address of a host that was asked over HTTP, where no lookup of it was recorded (RFC 5737: for
/// examples, so nobody has it).
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What a name server says.
pub(super) struct Names {
    /// By name and type.
    lookups: BTreeMap<(String, String), Lookup>,
    /// Hosts that were asked over HTTP or LDAP.
    hosts: BTreeMap<String, Ipv4Addr>,
    /// Those that could not be, for want of an address.
    missing: BTreeSet<String>,
    notes: Arc<Notes>,
}

/// One recorded answer.
struct Lookup {
    answers: Vec<String>,
    code: ResponseCode,
}

impl Names {
    pub(super) fn of(served: &Served, probes: &Probes, notes: Arc<Notes>) -> Self {
        let file = served.json("probes/dns").unwrap_or_default();
        let lookups = file.as_array().into_iter().flatten().map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            let kind = entry["type"].as_str().unwrap_or("A").to_ascii_uppercase();
            ((spelled(text("name")), kind), Lookup::of(entry))
        });
        let hosts = |missing: bool| {
            let chosen = probes.all.iter().filter(move |probe| probe.has_no_name() == missing);
            chosen.map(|probe| spelled(probe.host()))
        };
        let mut missing: BTreeSet<_> = hosts(true).collect();
        let mut hosts: BTreeMap<_, _> = hosts(false).map(|host| (host, SOMEWHERE)).collect();
        for (name, address) in ldap::names(served) {
            match address {
                Some(address) => drop(hosts.insert(spelled(&name), address)),
                None => drop(missing.insert(spelled(&name))),
            }
        }
        Self { lookups: lookups.collect(), hosts, missing, notes }
    }

    /// Answers one datagram after the other.
    pub(super) async fn serve(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let Ok(request) = Message::from_vec(&buffer[..length]) else { continue };
            if let Ok(response) = self.respond(&request).to_vec() {
                // Who doesn't get it asks again.
                let _ = socket.send_to(&response, from).await;
            }
        }
    }

    fn respond(&self, request: &Message) -> Message {
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata = Metadata::response_from_request(&request.metadata);
        response.metadata.recursion_available = true;
        response.queries.clone_from(&request.queries);
        response.edns = request.edns.is_some().then(Edns::new);
        match request.queries.first() {
            Some(query) => {
                let (code, records) = self.look_up(query);
                response.metadata.response_code = code;
                response.insert_answers(records);
            }
            None => response.metadata.response_code = ResponseCode::FormErr,
        }
        response
    }

    fn look_up(&self, query: &Query) -> (ResponseCode, Vec<Record>) {
        let (name, kind) = (spelled(&query.name().to_ascii()), query.query_type().to_string());
        if let Some(lookup) = self.lookups.get(&(name.clone(), kind.clone())) {
            return (lookup.code, lookup.records(query.name(), &kind));
        }
        let others = self.lookups.iter().filter(|((other, _), _)| *other == name);
        let mut codes = others.map(|(_, lookup)| lookup.code).peekable();
        if codes.peek().is_some() {
            // There is no such name, whatever the type.
            let missing = { codes }.any(|code| code == ResponseCode::NXDomain);
            let code = if missing { ResponseCode::NXDomain } else { ResponseCode::NoError };
            return (code, Vec::new());
        }
        if let Some(address) = self.hosts.get(&name) {
            let address = Record::from_rdata(query.name().clone(), TTL, RData::A(A(*address)));
            let address = (kind == "A").then_some(address);
            return (ResponseCode::NoError, address.into_iter().collect());
        }
        if self.missing.contains(&name) {
            return (ResponseCode::NXDomain, Vec::new());
        }
        // Names inside a cluster mean nothing outside of it.
        if name.ends_with(".svc.cluster.local") {
            return (ResponseCode::NXDomain, Vec::new());
        }
        self.notes.note_unasked(format!("{name} {kind}"));
        (ResponseCode::ServFail, Vec::new())
    }
}

impl Lookup {
    fn of(entry: &Value) -> Self {
        let answers = entry["answers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let error = entry["error"].as_str().map(str::to_ascii_uppercase);
        let says = |words: &[&str]| {
            error.as_ref().is_some_and(|error| words.iter().any(|word| error.contains(word)))
        };
        let code = if error.is_none() || says(&["NODATA", "NO DATA", "NOERROR", "NO RECORD"]) {
            ResponseCode::NoError
        } else if says(&["NXDOMAIN", "NO SUCH HOST"]) {
            ResponseCode::NXDomain
        } else {
            ResponseCode::ServFail
        };
        Self { answers: answers.map(str::to_owned).collect(), code }
    }

    /// The records of that type. Names among addresses are where the one before leads, as `dig
    /// +short` prints them.
    fn records(&self, name: &Name, kind: &str) -> Vec<Record> {
        let (mut records, mut owner) = (Vec::new(), name.clone());
        for answer in &self.answers {
            let data = match (kind, answer.parse::<IpAddr>()) {
                ("A", Ok(IpAddr::V4(address))) => RData::A(A(address)),
                ("AAAA", Ok(IpAddr::V6(address))) => RData::AAAA(AAAA(address)),
                ("A" | "AAAA" | "CNAME", Err(_)) => match Name::from_ascii(answer) {
                    Ok(target) => RData::CNAME(CNAME(target)),
                    Err(_) => continue,
                },
                _ => continue,
            };
            let next = match &data {
                RData::CNAME(CNAME(target)) => Some(target.clone()),
                _ => None,
            };
            records.push(Record::from_rdata(owner.clone(), TTL, data));
            owner = next.unwrap_or(owner);
        }
        records
    }
}

/// A name in one spelling: in lower case, without the dot at its end.
fn spelled(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
