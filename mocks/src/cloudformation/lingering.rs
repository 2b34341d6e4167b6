//! A load balancer that is deleted lets go of its interfaces a while later:
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteLoadBalancer.html>.

use std::{io::Result, sync::Mutex};

use crate::server::lock;

use super::{call::AwsCall, moto::Moto};

/// What load balancers that are gone still hold.
#[derive(Default)]
pub(super) struct Lingering {
    gone: Mutex<Vec<Gone>>,
}

struct Gone {
    /// How it was described.
    document: String,
    /// How many deletions of what it holds still fail.
    left: usize,
}

impl Lingering {
    /// How the load balancer is described that a call deletes.
    pub(super) async fn deleted_by(
        moto: &Moto,
        region: &str,
        call: &AwsCall,
    ) -> Result<Option<String>> {
        let (service, own, asked) = match call.service.as_str() {
            "elb" => ("elb", "LoadBalancerName", "LoadBalancerNames.member.1"),
            "elbv2" => ("elbv2", "LoadBalancerArn", "LoadBalancerArns.member.1"),
            _ => return Ok(None),
        };
        let named = call.parameter(own).filter(|_| call.action == "DeleteLoadBalancer");
        let Some(name) = named else { return Ok(None) };
        let answer = moto.ask((service, region), "DescribeLoadBalancers", &[(asked, name)]).await?;
        Ok(answer.is_good().then_some(answer.text))
    }

    /// Lets so many deletions fail of what was a load balancer's.
    pub(super) fn keep(&self, document: String, left: usize) {
        lock(&self.gone).push(Gone { document, left });
    }

    /// Whether one still holds a group, a subnet or a network; it does so once less then.
    pub(super) fn holds(&self, id: &str) -> bool {
        let mut gone = lock(&self.gone);
        let content = format!(">{id}<");
        let holder = gone.iter_mut().find(|one| one.document.contains(&content));
        if let Some(holder) = holder {
            holder.left -= 1;
            gone.retain(|one| one.left > 0);
            return true;
        }
        false
    }
}
