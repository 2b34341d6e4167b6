//! Bundles that can be given away: whose they are can't be told from them, and what is equal in them
//! stays equal, so that the same is wrong.

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
    };
}

mod certificate;
mod names;
mod pseudonyms;

use std::io;

use serde_json::Value;

use crate::Bundle;
use names::Names;
use pseudonyms::Pseudonyms;

impl Bundle {
    /// The bundle with pseudonyms in the place of accounts, projects, e-mail addresses, host names and
    /// public addresses; the same one for the same name, also inside of texts, URLs, certificates and
    /// the names of files. Names of Kubernetes objects, and of what stands in a cloud, stay, but for
    /// those parts of them. What nobody owns, such as `example.com` and the domains of clouds, stays.
    pub fn anonymized(&self) -> io::Result<Self> {
        let mut files = Vec::new();
        for (name, text) in self.texts() {
            let text = text?;
            let parsed =
                if name.ends_with(".json") { serde_json::from_str(&text).ok() } else { None };
            files.push((name, text, parsed));
        }
        let mut names = Names::default();
        for (name, text, parsed) in &files {
            names.learn_text(text);
            if let Some(value) = parsed {
                names.learn(value, "", name.contains("dns") || name.contains("route53"));
            }
        }
        let mut pseudonyms = Pseudonyms::of(names);
        let mut bundle = Self::default();
        for (name, text, parsed) in files {
            let name = pseudonyms.write(name);
            bundle = match parsed {
                Some(value) => bundle.with(&name, replaced(value, &mut pseudonyms)),
                None => bundle.with_text(&name, pseudonyms.write(&text)),
            };
        }
        Ok(bundle)
    }
}

fn replaced(value: Value, pseudonyms: &mut Pseudonyms) -> Value {
    match value {
        Value::String(text) => Value::String(pseudonyms.write(&text)),
        Value::Array(all) => all.into_iter().map(|one| replaced(one, pseudonyms)).collect(),
        Value::Object(fields) => {
            let one = |(key, value): (String, Value)| {
                let key = pseudonyms.write(&key);
                (key, replaced(value, pseudonyms))
            };
            fields.into_iter().map(one).collect()
        }
        Value::Number(number) => {
            // Some write an account's number without quotes.
            let text = pseudonyms.write(&number.to_string());
            text.parse().map_or(Value::Number(number), Value::Number)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Bundle;

    fn anonymized(name: &str, text: &str) -> String {
        let bundle = Bundle::default().with_text(name, text).anonymized().unwrap();
        bundle
            .texts()
            .fold(String::new(), |all, (name, text)| all + name + "\n" + &text.unwrap() + "\n")
    }

    #[test]
    fn whose_it_is_can_no_longer_be_told_and_what_was_equal_is_equal() {
        let before = json!([
            { "url": "https://kf.ml.acme.io/?redirect=https%3A%2F%2Fkf.ml.acme.io%2Fdex" },
            { "domains": ["*.ml.acme.io", "kf.ml.acme.io."], "email": "jane.doe@acme.io" },
            { "arn": "arn:aws:iam::210987654321:role/kf", "account": 210_987_654_321_u64 },
            { "selfLink": "https://compute.googleapis.com/v1/projects/acme-ml/zones/a" },
            { "name": "gke_acme-ml_a_kf", "sa": "dns@acme-ml.iam.gserviceaccount.com" },
            { "address": "34.117.9.8", "range": "34.117.0.0/16", "inside": "10.0.0.7" },
            { "group": "networking.gke.io", "secret": "kf-ml-acme-io-tls" },
        ]);
        let after = anonymized("probes/http.json", &before.to_string());
        for gone in ["acme", "jane", "210987654321", "34.117"] {
            assert!(!after.contains(gone), "{gone}: {after}");
        }
        let host = "h3.h2.h1.example";
        for there in [
            &format!("https://{host}/?redirect=https%3A%2F%2F{host}%2Fdex"),
            &format!("*.h2.h1.example\",\n      \"{host}.\""),
            "arn:aws:iam::100000000001:role/kf",
            "\"account\": 100000000001",
            "projects/project-1/zones/a",
            "gke_project-1_a_kf",
            "dns@project-1.iam.gserviceaccount.com",
            "user-1@h1.example",
            "240.1.9.8",
            "240.1.0.0/16",
            "10.0.0.7",
            "networking.gke.io",
            "h3-h2-h1-example-tls",
        ] {
            assert!(after.contains(there), "{there}: {after}");
        }
    }

    #[test]
    fn what_is_nobodys_stays() {
        let text = r#"{ "hosts": ["kf.example.com", "dex.auth.svc.cluster.local"],
            "url": "https://oauth2.googleapis.com/token", "email": "user@example.com",
            "from": ["35.191.0.0/16", "130.211.0.0/22", "192.168.0.9", "0.0.0.0/0"] }"#;
        let after = anonymized("probes/dns.json", text);
        let words = text.split(['"', '{', '}', '[', ']', ',', ' ', '\n']);
        for word in words.filter(|word| word.len() > 3) {
            assert!(after.contains(word), "{word}: {after}");
        }
    }

    #[test]
    fn names_in_plain_text_go_too() {
        let text = "dial ldap.corp.acme.io:636: lookup ldap.corp.acme.io on 10.0.0.2: no such host\n\
            base dc=corp,dc=acme,dc=io; issuer: https://kf.acme.io/dex\n";
        let after = anonymized("kubernetes/logs/auth/dex/dex.log", text);
        assert!(!after.to_lowercase().contains("acme"), "{after}");
        assert!(after.contains("dc=h2,dc=h1,dc=example"), "{after}");
        assert!(after.contains("h2.h1.example:636"), "{after}");
    }
}
