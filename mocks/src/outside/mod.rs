//! What a deployment looks like from outside: its names, and what answers under them.

mod certificates;
mod dns;
mod ldap;
mod probes;
#[cfg(test)]
mod tests;
mod web;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

use crate::{Call, Served, server::lock};

pub use ldap::Directory;

use certificates::Authority;
use dns::Names;
use probes::Probes;
use web::Web;

/// The probes of a bundle as the world that they were made in: a name server, one address for every
/// web server there is, and directories. A test sends each connection there, whatever address it is for.
pub struct OutsideMock {
    served: Served,
}

/// The servers; they end when this is dropped.
pub struct Outside {
    dns: SocketAddr,
    https: SocketAddr,
    http: SocketAddr,
    ca: String,
    directories: Vec<Directory>,
    notes: Arc<Notes>,
    tasks: [JoinHandle<()>; 3],
}

/// What the servers have noted.
#[derive(Default)]
struct Notes {
    calls: Mutex<Vec<Call>>,
    unasked: Mutex<Vec<String>>,
}

impl OutsideMock {
    /// Answers from a bundle.
    pub fn new(served: Served) -> Self {
        Self { served }
    }

    /// Starts to serve.
    pub async fn start(self) -> io::Result<Outside> {
        let notes = Arc::new(Notes::default());
        let probes = Probes::of(&self.served);
        let authority = Authority::new(probes.collected_at).map_err(io::Error::other)?;
        let names = Names::of(&self.served, &probes, Arc::clone(&notes));
        let ca = authority.pem();
        let directories = ldap::start(&self.served, &authority, &notes).await?;
        let web = Arc::new(Web::of(probes, &authority, Arc::clone(&notes))?);

        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secure = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (dns, http, https) = (socket.local_addr()?, plain.local_addr()?, secure.local_addr()?);
        let tasks = [
            tokio::spawn(async move { names.serve(socket).await }),
            tokio::spawn(Arc::clone(&web).serve_plain(plain)),
            tokio::spawn(web.serve_tls(secure)),
        ];
        Ok(Outside { dns, https, http, ca, directories, notes, tasks })
    }
}

impl Outside {
    /// Where the name server listens, on UDP.
    pub fn dns_address(&self) -> SocketAddr {
        self.dns
    }

    /// Where everything that speaks TLS listens.
    pub fn https_address(&self) -> SocketAddr {
        self.https
    }

    /// Where everything that doesn't speak TLS listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// What stands in for LDAP servers.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The authority that signed what is to be trusted.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The requests so far. Their path is the whole URL; a status of 0 means that the connection
    /// was closed instead.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.notes.calls).clone()
    }

    /// What was asked and is in no probe: a test fails if there is any.
    pub fn unasked(&self) -> Vec<String> {
        lock(&self.notes.unasked).clone()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Notes {
    fn note_call(&self, method: &str, url: &str, status: u16) {
        let (method, path) = (method.to_owned(), url.to_owned());
        lock(&self.calls).push(Call { method, path, query: String::new(), status });
    }

    fn note_unasked(&self, what: String) {
        lock(&self.unasked).push(what);
    }
}
