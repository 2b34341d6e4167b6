//! Directories, as far as a bundle knows what they answer (RFC 4511).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::BytesMut;
use lber::{
    Parser,
    common::TagClass,
    structure::{PL, StructureTag},
    structures::ASNTag,
};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{Notes, certificates::Authority, probes::Probe};
use crate::Served;

/// What stands in for one LDAP server.
pub struct Directory {
    /// The addresses that it is dialled at.
    pub dialled: Vec<SocketAddr>,
    /// The pod that it runs in, `namespace/name`, where it was reached by a port-forward; the one that
    /// it was reached from, `namespace/name host:port`, where it was by `nc`.
    pub pod: Option<String>,
    /// Where it listens; none: it takes no connection.
    pub at: Option<SocketAddr>,
    /// Whether it lets who dials wait, if it takes no connection.
    pub is_silent: bool,
    task: Option<JoinHandle<()>>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

/// What a bundle knows of one connector.
struct Recorded {
    entry: Value,
    /// How the handshake goes.
    tls: Arc<ServerConfig>,
    notes: Arc<Notes>,
}

/// The entries of `probes/ldap.json`.
pub(super) fn entries(served: &Served) -> Vec<Value> {
    match served.json("probes/ldap") {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    }
}

/// Host and port of an entry.
fn place(entry: &Value) -> Option<(String, u16)> {
    let (host, port) = entry["host"].as_str()?.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_ascii_lowercase(), port.parse().ok()?))
}

/// Why there was no connection.
fn failure(entry: &Value) -> &str {
    entry["connect"]["error"].as_str().unwrap_or_default()
}

/// The names of LDAP servers, each with an address for where none was recorded (RFC 5737: for
/// examples, so nobody has it); none: it has no name.
pub(super) fn names(served: &Served) -> Vec<(String, Option<Ipv4Addr>)> {
    let hosts = entries(served).into_iter().filter_map(|entry| {
        let (host, _) = place(&entry)?;
        Some((host, !failure(&entry).starts_with("dns")))
    });
    let hosts = hosts.filter(|(host, _)| host.parse::<IpAddr>().is_err());
    let numbered = (1..=254).zip(hosts);
    let at = |(n, (host, has_name)): (u8, (String, bool))| {
        (host, has_name.then_some(Ipv4Addr::new(198, 51, 100, n)))
    };
    numbered.map(at).collect()
}

/// Starts what stands in for each of the LDAP servers of a bundle.
pub(super) async fn start(
    served: &Served,
    authority: &Authority,
    notes: &Arc<Notes>,
) -> io::Result<Vec<Directory>> {
    let names = names(served);
    let lookups = served.json("probes/dns").unwrap_or_default();
    let mut all = Vec::new();
    for entry in entries(served) {
        let Some((host, port)) = place(&entry) else { continue };
        let ours =
            lookups.as_array().into_iter().flatten().filter(|lookup| lookup["name"] == *host);
        let answers = ours.flat_map(|lookup| lookup["answers"].as_array().into_iter().flatten());
        let mut addresses: Vec<IpAddr> =
            answers.filter_map(|address| address.as_str()?.parse().ok()).collect();
        addresses.extend(host.parse::<IpAddr>());
        if addresses.is_empty() {
            let known = names.iter().find(|(name, _)| *name == host);
            addresses.extend(known.and_then(|(_, address)| *address).map(IpAddr::V4));
        }
        let through = entry["connect"]["through"].as_str().unwrap_or_default();
        let pod = through.strip_prefix("port-forward to pod ").map(str::to_owned);
        let from = through.strip_prefix("nc in pod ");
        let pod = pod.or_else(|| Some(format!("{} {host}:{port}", from?)));
        let failure = failure(&entry).to_owned();
        let (mut at, mut task) = (None, None);
        if !["dns", "connect"].iter().any(|layer| failure.starts_with(layer)) {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            at = Some(listener.local_addr()?);
            let of_url = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let seen = json!({ "url": format!("https://{of_url}/"), "tls": {
                "verified": entry["connect"]["verified"], "error": failure } });
            let probe = Probe::of(&seen).ok_or_else(|| io::Error::other(host))?;
            let tls = Arc::new(authority.configure(&probe).map_err(io::Error::other)?);
            let recorded = Arc::new(Recorded { entry, tls, notes: Arc::clone(notes) });
            task = Some(tokio::spawn(recorded.serve(listener)));
        }
        all.push(Directory {
            dialled: addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
            pod,
            at,
            is_silent: failure.contains("no answer"),
            task,
        });
    }
    Ok(all)
}

impl Recorded {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let recorded = Arc::clone(&self);
            tokio::spawn(async move {
                // A client may leave whenever it likes.
                let _ = recorded.take(stream).await;
            });
        }
    }

    /// One connection, with TLS or without, as its first byte has it.
    async fn take(&self, stream: TcpStream) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let mut first = [0];
        stream.peek(&mut first).await?;
        let failure = failure(&self.entry);
        if first[0] == 0x16 && failure.starts_with("tls: no answer") {
            std::future::pending::<()>().await;
        }
        if first[0] == 0x16
            && failure.starts_with("tls")
            && self.entry["connect"]["tls"] == json!(false)
        {
            // What a server says that takes a handshake for a message.
            let mut stream = stream;
            let _ = stream.write_all(&[0x30, 0x05, 0x02, 0x01, 0x00, 0x78, 0x00]).await;
            return Ok(());
        }
        if first[0] == 0x16 {
            self.converse(acceptor.accept(stream).await?).await?;
        } else if let Some(stream) = self.converse(stream).await? {
            self.converse(acceptor.accept(stream).await?).await?;
        }
        Ok(())
    }

    /// Answers until the end, or until TLS is to begin.
    async fn converse<S>(&self, mut stream: S) -> io::Result<Option<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = BytesMut::new();
        while let Some((number, operation)) = next(&mut stream, &mut buffer).await? {
            let begins_tls = operation.id == EXTENDED;
            let Some(answers) = self.answer(operation) else { return Ok(None) };
            for answer in answers {
                let message =
                    constructed(TagClass::Universal, SEQUENCE, vec![number.clone(), answer]);
                let mut bytes = BytesMut::new();
                lber::write::encode_into(&mut bytes, message)?;
                stream.write_all(&bytes).await?;
            }
            stream.flush().await?;
            if begins_tls && !failure(&self.entry).starts_with("starttls") {
                return Ok(Some(stream));
            }
            if failure(&self.entry).contains("no answer") {
                std::future::pending::<()>().await;
            }
        }
        Ok(None)
    }

    /// The answers to a message; none: the connection ends.
    fn answer(&self, operation: StructureTag) -> Option<Vec<StructureTag>> {
        let (id, failure) = (operation.id, failure(&self.entry));
        let is_tls = id == EXTENDED;
        if failure.starts_with("ldap") || is_tls && failure.starts_with("starttls") {
            let code = failure.split(['(', ')']).nth(1).and_then(|code| code.parse().ok());
            return match code {
                Some(code) if is_tls => Some(vec![outcome(EXTENDED_DONE, code, "", said(failure))]),
                _ => failure.contains("no answer").then(Vec::new),
            };
        }
        let mut parts = children(operation).into_iter();
        match id {
            BIND => {
                let dn = text(parts.nth(1)?)?;
                let is_literal = text(parts.next()?)?.contains("literal");
                let binds = self.entry["binds"].as_array().into_iter().flatten();
                // One who knows no password still says which of two it means.
                let known = |bind: &&Value| {
                    let source = bind["passwordSource"].as_str().unwrap_or_default();
                    is(&bind["dn"], &dn) && source.contains("literal") == is_literal
                };
                let Some(bind) = { binds }.find(known) else {
                    self.notes.note_unasked(format!("LDAP bind as {dn}"));
                    return Some(vec![outcome(BOUND, UNWILLING, "", "no such bind was recorded")]);
                };
                let worked = if bind["ok"] == json!(true) { 0 } else { UNWILLING };
                let code = bind["resultCode"].as_u64().unwrap_or(worked);
                let says = said(bind["error"].as_str().unwrap_or_default());
                Some(vec![outcome(BOUND, code, "", says)])
            }
            SEARCH => Some(self.search(parts)),
            EXTENDED => Some(vec![outcome(EXTENDED_DONE, 0, "", "")]),
            _ => None,
        }
    }

    fn search(&self, mut parts: impl Iterator<Item = StructureTag>) -> Vec<StructureTag> {
        let mut value = || parts.next();
        let base = value().and_then(text).unwrap_or_default();
        let scope = match value().and_then(StructureTag::expect_primitive).as_deref() {
            Some([1]) => "one",
            _ => "sub",
        };
        let filter = parts.nth(4);
        let wanted: Vec<_> =
            parts.next().map(children).unwrap_or_default().into_iter().filter_map(text).collect();
        let compiled = |text: &str| {
            let text = if text.is_empty() { "(objectClass=*)" } else { text };
            Some(ldap3::parse_filter(text).ok()?.into_structure())
        };
        let searches = self.entry["searches"].as_array().into_iter().flatten();
        let known = |search: &&Value| {
            let recorded = search["scope"].as_str().unwrap_or("sub");
            is(&search["baseDN"], &base)
                && (recorded == "one") == (scope == "one")
                && compiled(search["filter"].as_str().unwrap_or_default()) == filter
        };
        let Some(search) = { searches }.find(known) else {
            self.notes.note_unasked(format!("LDAP search {scope} below {base}: {filter:?}"));
            return vec![outcome(DONE, UNWILLING, "", "no such search was recorded")];
        };
        let entries = search["entries"].as_array().into_iter().flatten();
        let mut answers: Vec<_> = entries.map(|one| entry(one, &wanted)).collect();
        let matched = search["matchedDN"].as_str().unwrap_or_default();
        let code = search["resultCode"].as_u64().unwrap_or_default();
        let says = said(search["error"].as_str().unwrap_or_default());
        answers.push(outcome(DONE, code, matched, says));
        answers
    }
}

const SEQUENCE: u64 = 16;
const SET: u64 = 17;
const OCTETS: u64 = 4;
const ENUMERATED: u64 = 10;

const BIND: u64 = 0;
const BOUND: u64 = 1;
const SEARCH: u64 = 3;
const ENTRY: u64 = 4;
const DONE: u64 = 5;
const EXTENDED: u64 = 23;
const EXTENDED_DONE: u64 = 24;

/// `unwillingToPerform`.
const UNWILLING: u64 = 53;

/// What the server itself has said of what a bundle has as an error: `noSuchObject (32): its words`.
fn said(error: &str) -> &str {
    error.split_once("): ").map_or("", |(_, says)| says)
}

fn is(recorded: &Value, name: &str) -> bool {
    recorded.as_str().unwrap_or_default().eq_ignore_ascii_case(name)
}

fn entry(recorded: &Value, wanted: &[String]) -> StructureTag {
    let attributes = recorded["attributes"].as_object().into_iter().flatten();
    let attributes = attributes.filter(|(name, _)| {
        wanted.iter().any(|wanted| wanted == "*" || wanted.eq_ignore_ascii_case(name))
    });
    let attributes = attributes.map(|(name, values)| {
        let one = values.as_str().into_iter();
        let several = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        let values = one.chain(several).map(octets).collect();
        let parts = vec![octets(name), constructed(TagClass::Universal, SET, values)];
        constructed(TagClass::Universal, SEQUENCE, parts)
    });
    let attributes = constructed(TagClass::Universal, SEQUENCE, attributes.collect());
    let dn = octets(recorded["dn"].as_str().unwrap_or_default());
    constructed(TagClass::Application, ENTRY, vec![dn, attributes])
}

fn outcome(operation: u64, code: u64, matched: &str, says: &str) -> StructureTag {
    let code = u8::try_from(code).unwrap_or(80);
    let code = primitive(ENUMERATED, vec![code]);
    constructed(TagClass::Application, operation, vec![code, octets(matched), octets(says)])
}

fn octets(text: &str) -> StructureTag {
    primitive(OCTETS, text.as_bytes().to_vec())
}

fn primitive(id: u64, content: Vec<u8>) -> StructureTag {
    StructureTag { class: TagClass::Universal, id, payload: PL::P(content) }
}

fn constructed(class: TagClass, id: u64, parts: Vec<StructureTag>) -> StructureTag {
    StructureTag { class, id, payload: PL::C(parts) }
}

fn children(tag: StructureTag) -> Vec<StructureTag> {
    tag.expect_constructed().unwrap_or_default()
}

fn text(tag: StructureTag) -> Option<String> {
    Some(String::from_utf8_lossy(&tag.expect_primitive()?).into_owned())
}

/// The next message: its number, and what it asks for. None: there is no more.
async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<(StructureTag, StructureTag)>> {
    loop {
        let parsed = match Parser::new().parse(buffer) {
            Ok((rest, tag)) => Some((buffer.len() - rest.len(), tag)),
            Err(error) if error.is_incomplete() => None,
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        if let Some((length, tag)) = parsed {
            let _ = buffer.split_to(length);
            let mut parts = children(tag).into_iter();
            return Ok(parts.next().zip(parts.next()));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
