use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};
use kfcheck_kube::FrontServices;

use crate::{GceIngresses, NegAnnotation};

check! {
    /// ## What it checks
    /// That the `cloud.google.com/neg` annotation of every Service at the front door is JSON, and
    /// that the ports in it are ports of the Service.
    ///
    /// ## Why it matters
    /// The controller ignores an annotation that it can't read, and makes no network endpoint group
    /// for a port that isn't there.
    ///
    /// ## How to fix it
    /// For an Ingress it is `{"ingress": true}`. `exposed_ports` takes the Service's ports, not the
    /// pods'.
    pub(crate) struct NegAnnotated;
    id: "gcp-neg-annotation",
    title: "Services ask for network endpoint groups that can be made",
}

#[async_trait]
impl Check for NegAnnotated {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GceIngresses).await?.is_empty() {
            return Ok(());
        }
        for service in cx.get(FrontServices).await?.iter() {
            let asked = match NegAnnotation::of(service) {
                None => continue,
                Some(Err(error)) => {
                    out.fail(&**service, "has a neg annotation that is not JSON")
                        .evidence("because", error);
                    continue;
                }
                Some(Ok(asked)) => asked,
            };
            let ports: Vec<_> = asked.ports().collect();
            match ports.into_iter().find(|port| service.port(port).is_none()) {
                Some(port) => {
                    let there: Vec<_> =
                        service.spec.ports.iter().map(|port| port.port.to_string()).collect();
                    let message = format!(
                        "asks for a network endpoint group for port {port}, which it lacks"
                    );
                    out.fail(&**service, message).evidence("has ports", there.join(", "));
                }
                None => out.ok(&**service),
            }
        }
        Ok(())
    }
}
