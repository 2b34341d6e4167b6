use kfcheck::{Cx, Fact, FactError, Place};
use serde::{Deserialize, Serialize};

use crate::Outside;

/// What the name servers answer for a name.
#[derive(Clone, Debug, Serialize)]
pub struct DnsProbe {
    /// The name asked for.
    pub name: String,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// The name asked for.
    pub name: String,
    /// The type asked for: `A`, `AAAA`, `CNAME`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The records.
    #[serde(default)]
    pub answers: Option<Vec<String>>,
    /// Why there are none: `NXDOMAIN`, `SERVFAIL`, `timeout`.
    #[serde(default)]
    pub error: Option<String>,
}

impl Fact for DnsProbe {
    const NAME: &'static str = "probe.dns";
    type Value = Vec<DnsAnswer>;

    fn place(&self) -> Option<Place<Vec<DnsAnswer>>> {
        let command = format!("dig {}", self.name);
        Some(Place::members("probes/dns", [("name", &*self.name)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<DnsAnswer>, FactError> {
        let outside = cx.client::<Outside>()?;
        let asking = async { Ok::<_, FactError>(outside.resolver.resolve(&self.name).await) };
        cx.call(format!("probe DNS {}", self.name), asking).await
    }
}

impl DnsAnswer {
    /// The addresses among all answers.
    pub fn addresses(all: &[Self]) -> Vec<&str> {
        let answers = all.iter().filter(|answer| answer.kind != "CNAME");
        let records = answers.flat_map(|answer| answer.answers.iter().flatten());
        records.map(String::as_str).filter(|record| is_address(record)).collect()
    }

    /// The names that the name asked for leads to.
    pub fn aliases(all: &[Self]) -> impl Iterator<Item = &str> {
        let records = all.iter().flat_map(|answer| answer.answers.iter().flatten());
        records.map(String::as_str).filter(|record| !is_address(record) && record.contains('.'))
    }

    /// Why there are no addresses, in the words of the resolver.
    pub fn errors(all: &[Self]) -> Vec<&str> {
        all.iter().filter_map(|answer| answer.error.as_deref()).collect()
    }

    /// Whether the resolver itself failed, so that nothing is known of the name.
    pub fn is_undecided(all: &[Self]) -> bool {
        let failed = |error: &str| {
            let error = error.to_ascii_uppercase();
            !error.contains("NXDOMAIN") && !error.contains("NODATA") && !error.contains("NO DATA")
        };
        Self::addresses(all).is_empty() && Self::errors(all).into_iter().any(failed)
    }
}

fn is_address(record: &str) -> bool {
    record.parse::<std::net::IpAddr>().is_ok()
}
