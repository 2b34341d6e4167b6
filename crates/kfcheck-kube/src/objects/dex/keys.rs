//! Which keys Dex reads, and of which sort (dexidp/dex: `cmd/dex/config.go`, `storage/storage.go`,
//! `connector/ldap/ldap.go`). It ignores every other, and does not mind their case.

/// The connectors that Dex has (dexidp/dex, `server/server.go`).
pub const CONNECTORS: [&str; 18] = [
    "keystone",
    "mockCallback",
    "mockPassword",
    "ldap",
    "gitea",
    "github",
    "gitlab",
    "google",
    "oidc",
    "oauth",
    "saml",
    "authproxy",
    "linkedin",
    "microsoft",
    "bitbucket-cloud",
    "openshift",
    "atlassian-crowd",
    "samlExperimental",
];

/// Where Dex can keep what it must not forget (dexidp/dex, `cmd/dex/config.go`).
pub const STORAGES: [&str; 6] = ["etcd", "kubernetes", "memory", "sqlite3", "postgres", "mysql"];

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    /// Text. Where Dex reads a part by itself, a number is none.
    Text,
    /// Text, though a number will do.
    Loose,
    /// True or false.
    Flag,
    /// Texts.
    Texts,
    /// Keys of its own.
    Map(&'static [(&'static str, Sort)]),
    /// A list of such.
    List(&'static [(&'static str, Sort)]),
    /// Whatever it likes.
    Any,
}

use Sort::{Any, Flag, List, Loose, Map, Text, Texts};

/// All of a configuration.
pub(super) const ROOT: &[(&str, Sort)] = &[
    ("issuer", Loose),
    ("storage", Map(&[("type", Loose), ("config", Any)])),
    ("web", Map(WEB)),
    ("telemetry", Any),
    ("oauth2", Map(OAUTH2)),
    ("grpc", Any),
    ("expiry", Map(EXPIRY)),
    ("logger", Map(&[("level", Loose), ("format", Loose), ("excludeFields", Texts)])),
    ("frontend", Any),
    ("templates", Any),
    ("signer", Any),
    ("sessions", Any),
    ("mfa", Any),
    ("connectors", List(CONNECTOR)),
    ("staticClients", List(CLIENT)),
    ("enablePasswordDB", Flag),
    ("staticPasswords", List(PASSWORD)),
];

const WEB: &[(&str, Sort)] = &[
    ("http", Loose),
    ("https", Loose),
    ("headers", Any),
    ("tlsCert", Loose),
    ("tlsKey", Loose),
    ("tlsMinVersion", Loose),
    ("tlsMaxVersion", Loose),
    ("allowedOrigins", Texts),
    ("allowedHeaders", Texts),
    ("clientRemoteIP", Any),
];

const OAUTH2: &[(&str, Sort)] = &[
    ("grantTypes", Texts),
    ("responseTypes", Texts),
    ("skipApprovalScreen", Flag),
    ("alwaysShowLoginScreen", Flag),
    ("passwordConnector", Loose),
    ("pkce", Any),
];

const EXPIRY: &[(&str, Sort)] = &[
    ("signingKeys", Loose),
    ("idTokens", Loose),
    ("authRequests", Loose),
    ("deviceRequests", Loose),
    ("refreshTokens", Any),
];

const CLIENT: &[(&str, Sort)] = &[
    ("id", Loose),
    ("idEnv", Loose),
    ("secret", Loose),
    ("secretEnv", Loose),
    ("redirectURIs", Texts),
    ("postLogoutRedirectURIs", Texts),
    ("trustedPeers", Texts),
    ("public", Flag),
    ("name", Loose),
    ("logoURL", Loose),
    ("allowedConnectors", Texts),
    ("allowedScopes", Texts),
    ("ssoSharedWith", Any),
    ("mfaChain", Texts),
    ("grantTypes", Texts),
    ("clientCredentialsClaims", Any),
];

const PASSWORD: &[(&str, Sort)] = &[
    ("email", Text),
    ("username", Text),
    ("name", Text),
    ("preferredUsername", Text),
    ("emailVerified", Flag),
    ("userID", Text),
    ("hash", Text),
    ("hashFromEnv", Text),
    ("groups", Texts),
];

const CONNECTOR: &[(&str, Sort)] =
    &[("type", Text), ("name", Text), ("id", Text), ("config", Any), ("grantTypes", Texts)];

/// What an LDAP connector is told.
pub(super) const LDAP: &[(&str, Sort)] = &[
    ("host", Text),
    ("insecureNoSSL", Flag),
    ("insecureSkipVerify", Flag),
    ("startTLS", Flag),
    ("rootCA", Text),
    ("clientCert", Text),
    ("clientKey", Text),
    ("rootCAData", Text),
    ("bindDN", Text),
    ("bindPW", Text),
    ("usernamePrompt", Text),
    ("userSearch", Map(USER_SEARCH)),
    ("groupSearch", Map(GROUP_SEARCH)),
];

const USER_SEARCH: &[(&str, Sort)] = &[
    ("baseDN", Text),
    ("filter", Text),
    ("username", Text),
    ("scope", Text),
    ("idAttr", Text),
    ("emailAttr", Text),
    ("nameAttr", Text),
    ("preferredUsernameAttr", Text),
    ("emailSuffix", Text),
];

const GROUP_SEARCH: &[(&str, Sort)] = &[
    ("baseDN", Text),
    ("filter", Text),
    ("scope", Text),
    ("userAttr", Text),
    ("groupAttr", Text),
    ("userMatchers", List(MATCHER)),
    ("nameAttr", Text),
];

const MATCHER: &[(&str, Sort)] = &[
    ("userAttr", Text),
    ("groupAttr", Text),
    ("recursionGroupAttr", Text),
    ("recursiveGroupAttr", Text),
];
