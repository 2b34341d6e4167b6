//! What guards a network, from whatever tells.

use kfcheck::{Cx, FactError, Fault};

use crate::{EffectiveFirewalls, Firewalls, Guards, Network, Networks};

/// What guards a network, and why that isn't all, if it isn't.
pub(crate) async fn guards_of(
    cx: &Cx,
    network: &Network,
) -> Result<(Guards, Option<FactError>), FactError> {
    let Network { project, name, .. } = network;
    let all = EffectiveFirewalls { project: project.clone(), network: name.clone() };
    let (mut guards, unseen) = match cx.get(all).await {
        Ok(guards) => ((*guards).clone(), None),
        Err(error) => (Guards::default(), Some(error)),
    };
    if guards.firewalls.is_empty() {
        guards.firewalls.clone_from(&*cx.get(Firewalls).await?);
        let of_project = |rule: &crate::Firewall| rule.network.project() == project;
        if network.shared && !guards.firewalls.iter().any(of_project) {
            let detail = format!(
                "no firewall rule of host project {project} is among those listed; list them \
                 there, which takes compute.firewalls.list on {project}"
            );
            return Err(Fault::Unreachable(detail).into());
        }
    }
    Ok((guards, unseen))
}

pub(crate) async fn policies_first(cx: &Cx, network: &Network) -> bool {
    let networks = cx.get(Networks).await;
    let ours = |order: &&crate::NetworkOrder| {
        order.name == network.name && order.self_link.project() == network.project
    };
    let order = networks.iter().flat_map(|all| all.iter()).find(ours);
    order.is_some_and(|order| {
        order.network_firewall_policy_enforcement_order.as_deref()
            == Some("BEFORE_CLASSIC_FIREWALL")
    })
}
