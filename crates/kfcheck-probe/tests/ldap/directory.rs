//! OpenLDAP's own server, on this machine alone, as whoever runs the tests.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Who may read the directory.
pub(crate) const ADMIN: &str = "cn=admin,dc=example,dc=com";
/// How it proves that.
pub(crate) const PASSWORD: &str = "correct-horse-battery";
/// The name in its certificate.
pub(crate) const HOST: &str = "ldap.example.com";

/// A directory of people and groups; it ends when this is dropped.
pub(crate) struct Directory {
    server: Child,
    /// Where it speaks without TLS, or with it when it is asked to.
    pub(crate) plain: SocketAddr,
    /// Where it speaks TLS.
    pub(crate) tls: SocketAddr,
    /// The authority that signed its certificate.
    pub(crate) authority: String,
    /// Everything it has.
    folder: tempfile::TempDir,
}

impl Directory {
    /// One with `ldif` beside the usual entries, set up further by `conf`.
    pub(crate) fn with(ldif: &str, conf: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = certify(folder.path(), "An authority");
        let conf = configure(folder.path(), conf);
        add(&conf, folder.path(), &format!("{ENTRIES}{ldif}"));
        // Somebody else may take a port that was free a moment ago.
        for _ in 0..5 {
            let (plain, tls) = (free(), free());
            let mut server = Command::new(installed("slapd"))
                .args(["-d", "0", "-h", &format!("ldap://{plain}/ ldaps://{tls}/"), "-f"])
                .arg(&conf)
                .stderr(Stdio::null())
                .spawn()
                .expect("slapd starts");
            let late = Instant::now() + Duration::from_secs(20);
            while server.try_wait().expect("it is ours").is_none() && Instant::now() < late {
                if TcpStream::connect(plain).and(TcpStream::connect(tls)).is_ok() {
                    return Self { server, plain, tls, authority, folder };
                }
                std::thread::yield_now();
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        panic!("slapd does not listen; its configuration is in {}", folder.path().display());
    }

    /// Another authority, which signed nothing here.
    pub(crate) fn other_authority(&self, name: &str) -> String {
        let folder = self.folder.path().join("other");
        fs::create_dir_all(&folder).expect("a folder");
        certify(&folder, name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port")
}

/// Debian keeps them where users don't look.
fn installed(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() { path } else { name.into() }
}

/// Writes a certificate, its key and its authority's certificate, which is given back.
fn certify(folder: &Path, name: &str) -> String {
    let named = |name: &str| {
        let mut distinguished = DistinguishedName::new();
        distinguished.push(DnType::CommonName, name);
        distinguished
    };
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named(name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let root = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).expect("a name");
    params.distinguished_name = named(HOST);
    let leaf = params.signed_by(&key, &issuer).expect("a certificate").pem();
    for (name, pem) in [("ca.pem", &root), ("leaf.pem", &leaf), ("key.pem", &key.serialize_pem())] {
        fs::write(folder.join(name), pem).expect("a file");
    }
    root
}

fn configure(folder: &Path, further: &str) -> PathBuf {
    fs::create_dir(folder.join("db")).expect("a folder");
    let here = folder.display();
    let conf = format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
pidfile {here}/slapd.pid
argsfile {here}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {here}/ca.pem
TLSCertificateFile {here}/leaf.pem
TLSCertificateKeyFile {here}/key.pem
{further}
database mdb
suffix dc=example,dc=com
rootdn {ADMIN}
rootpw {PASSWORD}
directory {here}/db
maxsize 104857600
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"
    );
    let file = folder.join("slapd.conf");
    fs::write(&file, conf).expect("a file");
    file
}

fn add(conf: &Path, folder: &Path, ldif: &str) {
    let file = folder.join("entries.ldif");
    fs::write(&file, ldif).expect("a file");
    let mut command = Command::new(installed("slapadd"));
    command.arg("-q").arg("-f").arg(conf).arg("-l").arg(&file);
    let added = command.output().expect("slapadd, which scripts/setup --tests installs");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}

const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: uid=jane,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: jane
cn: Jane Doe
sn: Doe
mail: jane@example.com
telephoneNumber: 555 0100
userPassword: janes-secret

dn: uid=joe,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: joe
cn: Joe Roe
sn: Roe

dn: cn=admins,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: admins
member: uid=jane,ou=people,dc=example,dc=com
member: uid=gone,ou=people,dc=example,dc=com

";
