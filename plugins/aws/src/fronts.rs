//! The load balancers that requests enter by.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError, Named, Resource};
use kfcheck_kube::{Entrance, Entrances, FrontServices, Ingress, Service, resource};
use serde::Serialize;

use crate::{
    ClassicLoadBalancer, ClassicLoadBalancerTags, ClassicLoadBalancers, LoadBalancer,
    LoadBalancerTags, LoadBalancers, Scope, Tag, lean, shape::tag,
};

/// The Ingresses at the entrance that an ALB is to be made for.
#[derive(Clone, Serialize)]
pub struct AlbIngresses;

impl Fact for AlbIngresses {
    const NAME: &'static str = "aws.albIngresses";
    type Value = Vec<Arc<Ingress>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Ingress>>, FactError> {
        let entrances = cx.get(Entrances).await?;
        let ingresses = entrances.iter().filter_map(|entrance| match entrance {
            Entrance::Ingress(ingress) if is_for_alb(ingress) => Some(Arc::clone(ingress)),
            _ => None,
        });
        Ok(ingresses.collect())
    }
}

/// Whether an Ingress is for AWS's controller: by its class, or by what it is told.
fn is_for_alb(ingress: &Ingress) -> bool {
    let told = || ingress.metadata.annotations.keys().any(|key| key.starts_with(ANNOTATION));
    ingress.class().map_or_else(told, |class| class == "alb" || told())
}

/// What the annotations for AWS's controller begin with.
const ANNOTATION: &str = "alb.ingress.kubernetes.io/";

/// What an annotation for AWS's controller says.
pub(crate) fn annotation<'a>(ingress: &'a Ingress, name: &str) -> Option<&'a str> {
    let name = format!("{ANNOTATION}{name}");
    ingress.metadata.annotation(&[&name]).map(str::trim).filter(|said| !said.is_empty())
}

/// The Services at the front door that have load balancers of their own.
#[derive(Clone, Serialize)]
pub struct BalancedServices;

impl Fact for BalancedServices {
    const NAME: &'static str = "aws.balancedServices";
    type Value = Vec<Arc<Service>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Service>>, FactError> {
        let services = cx.get(FrontServices).await?;
        let balanced = services.iter().filter(|service| service.spec.kind == "LoadBalancer");
        Ok(balanced.cloned().collect())
    }
}

/// A load balancer, and the Ingress or Service that it was made for.
#[derive(Clone, Debug)]
pub struct Front<B> {
    /// An Ingress or a Service.
    pub entrance: Resource,
    /// The load balancer.
    pub balancer: B,
}

/// The application and network load balancers of the entrance.
#[derive(Clone, Serialize)]
pub struct FrontLoadBalancers;

impl Fact for FrontLoadBalancers {
    const NAME: &'static str = "aws.frontLoadBalancers";
    type Value = Vec<Front<LoadBalancer>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Front<LoadBalancer>>, FactError> {
        let wanted = Wanted::all(cx).await?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let all = cx.get(LoadBalancers).await?;
        let mut fronts = Vec::new();
        for wanted in &wanted {
            let named: Vec<_> = all.iter().filter(|lb| wanted.has_name(&lb.dns_name)).collect();
            let ours = if named.is_empty() && !all.is_empty() {
                let tags = cx.get(LoadBalancerTags).await?;
                let scope = cx.get(Scope).await?;
                let tagged = |lb: &&LoadBalancer| {
                    let of = tags.iter().find(|tags| tags.resource_arn == lb.load_balancer_arn);
                    of.is_some_and(|of| wanted.is_tagged(&of.tags, &scope.cluster))
                };
                all.iter().filter(tagged).collect()
            } else {
                named
            };
            fronts.extend(ours.into_iter().map(|lb| wanted.front(lb.clone())));
        }
        Ok(fronts)
    }
}

/// The classic load balancers of the entrance.
#[derive(Clone, Serialize)]
pub struct FrontClassics;

impl Fact for FrontClassics {
    const NAME: &'static str = "aws.frontClassics";
    type Value = Vec<Front<ClassicLoadBalancer>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Front<ClassicLoadBalancer>>, FactError> {
        let mut wanted = Wanted::all(cx).await?;
        // An Ingress never has one.
        wanted.retain(|wanted| wanted.entrance.kind == "Service");
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let all = cx.get(ClassicLoadBalancers).await?;
        let mut fronts = Vec::new();
        for wanted in &wanted {
            let named: Vec<_> = all.iter().filter(|lb| wanted.has_name(&lb.dns_name)).collect();
            let ours = if named.is_empty() && !all.is_empty() {
                let tags = cx.get(ClassicLoadBalancerTags).await?;
                let scope = cx.get(Scope).await?;
                let tagged = |lb: &&ClassicLoadBalancer| {
                    let is_it = |name: &str| name == lb.load_balancer_name;
                    let of = tags.iter().find(|tags| is_it(&tags.load_balancer_name));
                    of.is_some_and(|of| wanted.is_tagged(&of.tags, &scope.cluster))
                };
                all.iter().filter(tagged).collect()
            } else {
                named
            };
            fronts.extend(ours.into_iter().map(|lb| wanted.front(lb.clone())));
        }
        Ok(fronts)
    }
}

/// Whether classic load balancers are beside the way in, which is an Ingress's: what is wrong with
/// them takes nobody down.
pub(crate) async fn are_classics_beside(cx: &Cx) -> Result<bool, FactError> {
    Ok(!cx.get(AlbIngresses).await?.is_empty())
}

/// Whose load balancer is looked for.
struct Wanted {
    entrance: Resource,
    /// `istio-system/istio-ingress`.
    path: String,
    /// The names that the cluster has for it.
    names: Vec<String>,
}

impl Wanted {
    async fn all(cx: &Cx) -> Result<Vec<Self>, FactError> {
        let (ingresses, services) = (cx.get(AlbIngresses).await?, cx.get(BalancedServices).await?);
        let ingresses = ingresses.iter().map(|i| (i.resource(), i.addresses().collect::<Vec<_>>()));
        let services = services.iter().map(|service| {
            (service.resource(), service.status.load_balancer.addresses().collect())
        });
        let wanted = ingresses.chain(services).map(|(entrance, names)| Self {
            path: format!(
                "{}/{}",
                entrance.namespace.as_deref().unwrap_or_default(),
                entrance.name
            ),
            names: names.into_iter().map(lean).collect(),
            entrance,
        });
        Ok(wanted.collect())
    }

    fn has_name(&self, dns_name: &str) -> bool {
        self.names.contains(&lean(dns_name))
    }

    /// Whether tags say that it is this one's, and of this cluster and no other.
    fn is_tagged(&self, tags: &[Tag], cluster: &str) -> bool {
        let keys = match self.entrance.kind {
            "Ingress" => ["ingress.k8s.aws/stack", ""],
            _ => ["service.k8s.aws/stack", "kubernetes.io/service-name"],
        };
        let old = tag(tags, "kubernetes.io/namespace").zip(tag(tags, "kubernetes.io/ingress-name"));
        let old = old.is_some_and(|(namespace, name)| format!("{namespace}/{name}") == self.path);
        let named = keys.iter().any(|key| tag(tags, key) == Some(self.path.as_str()));
        (named || (old && self.entrance.kind == "Ingress")) && owners(tags).contains(&cluster)
    }

    fn front<B>(&self, balancer: B) -> Front<B> {
        Front { entrance: self.entrance.clone(), balancer }
    }
}

/// The clusters that a load balancer's tags say it is of: those of both controllers, and those of the
/// cloud provider (AWS Load Balancer Controller documentation, "Resource tags").
pub(crate) fn owners(tags: &[Tag]) -> Vec<&str> {
    let named = ["elbv2.k8s.aws/cluster", "ingress.k8s.aws/cluster"];
    let named = named.iter().filter_map(|key| tag(tags, key));
    let owned = tags.iter().filter(|tag| tag.value == "owned");
    named.chain(owned.filter_map(|tag| tag.key.strip_prefix("kubernetes.io/cluster/"))).collect()
}

/// The Service that a resource names.
pub(crate) fn service_resource(service: &Service) -> Resource {
    resource("Service", service.metadata.namespace.as_deref(), &service.metadata.name)
}
