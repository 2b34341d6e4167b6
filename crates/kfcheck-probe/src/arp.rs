use std::time::Duration;

use kfcheck::{Cx, Fact, FactError, Fault, Place, redact::redact};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Outside;

/// Who answers for an address on the wire that this machine is on.
///
/// It fails where the wire can't be asked: the address is on no network of this machine's, or is
/// none of IPv4, or this machine can't send such questions at all.
#[derive(Clone, Debug, Serialize)]
pub struct ArpProbe {
    /// The address, as a Service has it.
    pub address: String,
}

/// Who answered for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArpAnswer {
    /// The address asked for.
    pub address: String,
    /// The interface of this machine that the question went out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The node that the question was asked from, where that was not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who was asked.
    #[serde(skip_serializing_if = "is_wire", deserialize_with = "or_default")]
    pub asked: Asked,
    /// Everyone who answered, each once.
    #[serde(deserialize_with = "or_default")]
    pub replies: Vec<ArpReply>,
    /// Why nobody did.
    #[serde(deserialize_with = "clean")]
    pub error: Option<String>,
}

/// One who answers for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArpReply {
    /// Its hardware address, in lower case: `52:54:00:12:35:0c`.
    #[serde(deserialize_with = "mac")]
    pub mac: String,
    /// The interface of this machine that the answer came in by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// Who was asked for an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Asked {
    /// The kernel, which keeps one answer and drops the others. For want of CAP_NET_RAW.
    Kernel,
    /// Everyone on the wire, for a while: a second answer would have been heard.
    #[default]
    #[serde(other)]
    Wire,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_wire(asked: &Asked) -> bool {
    *asked == Asked::Wire
}

impl Fact for ArpProbe {
    const NAME: &'static str = "probe.arp";
    const NEEDS: &'static [&'static str] = &["CAP_NET_RAW"];
    /// A pod that asks may have to fetch its image first.
    const TIMEOUT: Duration = Duration::from_secs(90);
    type Value = Vec<ArpAnswer>;

    fn place(&self) -> Option<Place<Vec<ArpAnswer>>> {
        let command = format!("arping -c 3 {}", self.address);
        Some(Place::members("probes/arp", [("address", &*self.address)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<ArpAnswer>, FactError> {
        let outside = cx.client::<Outside>()?;
        let asking = outside.arp.ask(&self.address);
        let answer = cx.call(format!("probe ARP {}", self.address), asking).await?;
        if answer.asked == Asked::Kernel && !answer.replies.is_empty() {
            // A second one would not have been heard.
            cx.missing("conflict", Fault::Denied { permission: Self::NEEDS[0].to_owned() });
        }
        Ok(vec![answer])
    }
}

impl ArpAnswer {
    /// The hardware addresses that answer, each once. More than one: a conflict.
    pub fn macs(all: &[Self]) -> Vec<&str> {
        let replies = all.iter().flat_map(|answer| &answer.replies);
        let mut macs: Vec<_> =
            replies.map(|reply| &*reply.mac).filter(|mac| !mac.is_empty()).collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }

    /// Whether it was asked, and nobody answered.
    pub fn is_silent(all: &[Self]) -> bool {
        let asked_in_vain = |answer: &Self| answer.error.as_deref().is_none_or(says_silence);
        !all.is_empty() && Self::macs(all).is_empty() && all.iter().all(asked_in_vain)
    }

    /// Whether a second answer would have been heard: only then one answer is the only one.
    pub fn would_show_conflict(all: &[Self]) -> bool {
        all.iter().any(|answer| answer.asked == Asked::Wire && !answer.replies.is_empty())
    }

    /// Why nothing is known of who answers, where that is so.
    pub fn undecided(all: &[Self]) -> Option<&str> {
        if !Self::macs(all).is_empty() {
            return None;
        }
        all.iter().filter_map(|answer| answer.error.as_deref()).find(|error| !says_silence(error))
    }
}

/// Whether an error says that nobody answered, and not that nobody was asked.
fn says_silence(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    let words = ["no repl", "no answer", "no response", "timeout", "timed out", "0 response"];
    words.iter().any(|word| error.contains(word))
}

fn mac<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text.unwrap_or_default().trim().replace('-', ":").to_ascii_lowercase())
}

fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn clean<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()).map(|text| redact(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ArpAnswer, Asked};

    fn read(value: &serde_json::Value) -> Vec<ArpAnswer> {
        serde_json::from_value(json!([value])).unwrap()
    }

    #[test]
    fn what_others_wrote_down_is_read() {
        let one =
            read(&json!({ "address": "10.0.0.1", "replies": [{ "mac": "52-54-00-12-35-0C" }],
            "error": null, "rounds": 3 }));
        assert_eq!(ArpAnswer::macs(&one), ["52:54:00:12:35:0c"]);
        assert!(ArpAnswer::would_show_conflict(&one) && !ArpAnswer::is_silent(&one));
        let none = read(&json!({ "address": "10.0.0.1", "replies": null,
            "error": "no reply to 3 probes" }));
        assert!(ArpAnswer::is_silent(&none) && !ArpAnswer::would_show_conflict(&none));
        let bare = read(&json!({}));
        assert!(ArpAnswer::is_silent(&bare));
    }

    #[test]
    fn who_could_not_ask_has_not_heard_silence() {
        let error = "socket: operation not permitted";
        let unasked = read(&json!({ "address": "10.0.0.1", "replies": [], "error": error }));
        assert!(!ArpAnswer::is_silent(&unasked));
        assert_eq!(ArpAnswer::undecided(&unasked), Some(error));
        assert!(!ArpAnswer::is_silent(&[]));
    }

    #[test]
    fn one_answer_of_the_kernels_may_not_be_the_only_one() {
        let kernel = read(&json!({ "address": "10.0.0.1", "asked": "kernel",
            "replies": [{ "mac": "52:54:00:12:35:0c" }] }));
        assert_eq!(kernel[0].asked, Asked::Kernel);
        assert!(!ArpAnswer::would_show_conflict(&kernel));
        let written = serde_json::to_value(&kernel).unwrap();
        assert_eq!(written[0]["asked"], "kernel");
    }
}
