//! Whether an address is reached, by whatever was asked.

use std::net::IpAddr;

use kfcheck::Cx;
use kfcheck_probe::{ArpAnswer, ArpProbe};

use crate::DoorAnswers;

/// Whether a machine answers for an address on the wire, as far as it was asked.
pub(crate) async fn is_reached(cx: &Cx, address: IpAddr) -> bool {
    let answers = cx.get(ArpProbe { address: address.to_string() }).await;
    answers.is_ok_and(|answers| !ArpAnswer::macs(&answers).is_empty())
}

/// Whether something answers at a door, be it with an error.
pub(crate) async fn is_answering(cx: &Cx) -> bool {
    let answers = cx.get(DoorAnswers).await;
    let mut answers = answers.iter().flat_map(|all| all.iter());
    answers.any(|door| door.answer.as_ref().is_ok_and(|answer| answer.status.is_some()))
}

/// Whether it was tried to reach an address, and nobody is there: nobody answers on the wire, or for
/// want of that, no connection is made.
pub(crate) async fn is_silent(cx: &Cx, address: IpAddr) -> bool {
    if is_answering(cx).await {
        return false;
    }
    let answers = cx.get(ArpProbe { address: address.to_string() }).await;
    if let Ok(answers) = answers {
        return ArpAnswer::is_silent(&answers);
    }
    let answers = cx.get(DoorAnswers).await;
    let mut answers = answers.iter().flat_map(|all| all.iter());
    answers.any(|door| {
        let at = door.door.host == address.to_string();
        at && door.answer.as_ref().is_ok_and(|answer| {
            let error = answer.error.as_deref().unwrap_or_default().to_lowercase();
            let nobody = ["no route", "unreachable", "timed out", "timeout", "no answer within"];
            answer.status.is_none() && nobody.iter().any(|word| error.contains(word))
        })
    })
}
