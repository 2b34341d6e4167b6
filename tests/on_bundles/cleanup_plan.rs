//! What holds of every plan of the clean-up's, whatever the account.

use std::collections::BTreeSet;

use kfcheck_aws::{
    ClassicLoadBalancer, Document, GroupPair, LoadBalancer, NetworkInterface, Permission,
    SecurityGroup, Stack, StackResource, Tag, TargetGroup,
    cleanup::{
        Action, Estate, NetworkLeft, Owned, Plan, Refusal, RoleLeft, StackLeft, TaggedBalancer,
        Wishes,
    },
};
use proptest::prelude::*;
use serde_json::json;

const CLUSTER: &str = "kf-old";
const KINDS: [&str; 6] = [
    "nodegroup-ng-1",
    "nodegroup-ng-2",
    "addon-iamserviceaccount-kubeflow-profiles",
    "podidentityrole-ns-a",
    "cluster",
    "karpenter",
];

fn tags(pairs: &[(&str, &str)]) -> Vec<Tag> {
    let one = |(key, value): &(&str, &str)| json!({ "Key": key, "Value": value });
    serde_json::from_value(pairs.iter().map(one).collect()).unwrap()
}

/// Tags that say whose something is.
fn owner() -> impl Strategy<Value = (bool, Vec<Tag>)> {
    prop_oneof![
        Just((true, tags(&[("kubernetes.io/cluster/kf-old", "owned")]))),
        Just((true, tags(&[("elbv2.k8s.aws/cluster", "kf-old")]))),
        Just((false, tags(&[("kubernetes.io/cluster/kf-old", "shared")]))),
        Just((false, tags(&[("kubernetes.io/cluster/kf", "owned")]))),
        Just((
            false,
            tags(&[
                ("kubernetes.io/cluster/kf-old", "owned"),
                ("kubernetes.io/cluster/kf", "shared")
            ])
        )),
        Just((
            false,
            tags(&[
                ("elbv2.k8s.aws/cluster", "kf-old"),
                ("aws:cloudformation:stack-name", "other")
            ])
        )),
        Just((false, Vec::new())),
    ]
}

fn role(stack: String) -> impl Strategy<Value = RoleLeft> {
    let names = prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c", "d"]), 0..4);
    (names.clone(), names, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        move |(live, owned, is_read, is_untold)| {
            let text = |all: &BTreeSet<&str>| all.iter().map(|&one| one.to_owned()).collect();
            let owned = Owned {
                inline: text(&owned),
                attached: text(&owned),
                profiles: text(&owned),
                untold: if is_untold { vec!["{}".to_owned()] } else { Vec::new() },
            };
            RoleLeft {
                name: format!("{stack}-role"),
                logical_id: "Role".to_owned(),
                inline: live.iter().map(|&n| (n.to_owned(), Document::default())).collect(),
                attached: live.iter().map(|&n| n.to_owned()).collect(),
                profiles: live.iter().map(|&n| n.to_owned()).collect(),
                owned: is_read.then_some(owned),
            }
        },
    )
}

fn stack(kind: &'static str) -> impl Strategy<Value = StackLeft> {
    let name = format!("eksctl-{CLUSTER}-{kind}");
    let statuses =
        vec!["CREATE_COMPLETE", "DELETE_FAILED", "UPDATE_IN_PROGRESS", "ROLLBACK_COMPLETE"];
    let importers = prop::collection::btree_set(prop::sample::select(KINDS.to_vec()), 0..2);
    (
        prop::sample::select(statuses),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
        importers,
        prop::collection::vec(role(name.clone()), 0..2),
    )
        .prop_map(move |(status, protected, nested, stranger, has_service_role, by, roles)| {
            let stack: Stack = serde_json::from_value(json!({
                "StackName": name, "StackId": format!("arn:aws:cloudformation:r:1:stack/{name}/1"),
                "StackStatus": status, "EnableTerminationProtection": protected,
                "ParentId": if nested { "arn:parent" } else { "" },
                "Tags": [{ "Key": "alpha.eksctl.io/cluster-name", "Value": CLUSTER }],
            }))
            .unwrap();
            // Only the stacks of the cluster's own ground are imported from.
            let by = by.iter().filter(|by| kind == "cluster" && **by != kind);
            let mut importers: BTreeSet<String> =
                by.map(|by| format!("eksctl-{CLUSTER}-{by}")).collect();
            if stranger {
                importers.insert("somebody-elses".to_owned());
            }
            StackLeft { stack, parts: Vec::new(), roles, importers, has_service_role }
        })
}

fn network() -> impl Strategy<Value = NetworkLeft> {
    let groups = prop::collection::vec((owner(), prop::collection::vec(0..4_usize, 0..2)), 0..4);
    let balancers = prop::collection::vec((owner(), owner()), 0..3);
    let classics = prop::collection::vec(owner(), 0..3);
    let interfaces = prop::collection::vec((owner(), any::<bool>(), any::<bool>()), 0..4);
    (groups, balancers, classics, interfaces, any::<bool>()).prop_map(
        |(groups, balancers, classics, interfaces, is_ours)| NetworkLeft {
            vpc: "vpc-1".to_owned(),
            is_ours,
            groups: groups
                .into_iter()
                .enumerate()
                .map(|(nth, ((_, tags), named))| SecurityGroup {
                    group_id: format!("sg-{nth}"),
                    tags,
                    ip_permissions: named
                        .into_iter()
                        .map(|other| Permission {
                            user_id_group_pairs: vec![GroupPair {
                                group_id: format!("sg-{other}"),
                            }],
                            ..Permission::default()
                        })
                        .collect(),
                    ..SecurityGroup::default()
                })
                .collect(),
            balancers: balancers
                .into_iter()
                .enumerate()
                .map(|(nth, ((_, tags), (_, of_group)))| TaggedBalancer {
                    balancer: LoadBalancer {
                        load_balancer_arn: format!("arn:lb/{nth}/x"),
                        ..LoadBalancer::default()
                    },
                    tags,
                    target_groups: vec![(
                        TargetGroup {
                            target_group_arn: format!("arn:tg/{nth}/x"),
                            ..TargetGroup::default()
                        },
                        of_group,
                    )],
                })
                .collect(),
            classics: classics
                .into_iter()
                .enumerate()
                .map(|(nth, (_, tags))| {
                    let load_balancer_name = format!("classic-{nth}");
                    (ClassicLoadBalancer { load_balancer_name, ..Default::default() }, tags)
                })
                .collect(),
            interfaces: interfaces
                .into_iter()
                .enumerate()
                .map(|(nth, ((_, tag_set), is_used, is_plugins))| NetworkInterface {
                    network_interface_id: format!("eni-{nth}"),
                    status: if is_used { "in-use" } else { "available" }.to_owned(),
                    description: if is_plugins { "aws-K8S-i-1" } else { "mine" }.into(),
                    tag_set,
                    ..NetworkInterface::default()
                })
                .collect(),
        },
    )
}

fn estate() -> impl Strategy<Value = Estate> {
    let stacks = prop::sample::subsequence(KINDS.to_vec(), 0..=KINDS.len())
        .prop_flat_map(|kinds| kinds.into_iter().map(stack).collect::<Vec<_>>());
    (stacks, prop::option::weighted(0.8, network())).prop_map(|(stacks, network)| Estate {
        account_id: "1".to_owned(),
        region: "r".to_owned(),
        cluster: CLUSTER.to_owned(),
        stacks,
        network,
        ..Estate::default()
    })
}

/// Whether tags say that something is the cluster's and nobody else's.
fn are_ours(tags: &[Tag]) -> bool {
    let says = |key: &str, value: &str| tags.iter().any(|t| t.key == key && t.value == value);
    let ours =
        says("kubernetes.io/cluster/kf-old", "owned") || says("elbv2.k8s.aws/cluster", CLUSTER);
    let others = tags.iter().any(|tag| {
        tag.key == "kubernetes.io/cluster/kf" || tag.key == "aws:cloudformation:stack-name"
    });
    ours && !others
}

fn at(plan: &Plan, action: &Action) -> Option<usize> {
    plan.steps.iter().position(|step| step.action == *action)
}

fn deletion(plan: &Plan, name: &str) -> Option<usize> {
    plan.steps.iter().position(|step| {
        matches!(step.action, Action::DeleteStack { .. }) && step.stack.as_deref() == Some(name)
    })
}

/// What is there when everything in a plan was done.
fn applied(estate: &Estate, plan: &Plan) -> Estate {
    let mut left = estate.clone();
    left.stacks.retain(|stack| deletion(plan, stack.name()).is_none());
    if let Some(network) = &mut left.network {
        let is_done = |action: Action| at(plan, &action).is_some();
        network
            .groups
            .retain(|group| !is_done(Action::DeleteSecurityGroup { id: group.group_id.clone() }));
        network.interfaces.retain(|interface| {
            !is_done(Action::DeleteNetworkInterface { id: interface.network_interface_id.clone() })
        });
        network.balancers.retain(|left| {
            !is_done(Action::DeleteLoadBalancer { arn: left.balancer.load_balancer_arn.clone() })
        });
        network.classics.retain(|(balancer, _)| {
            !is_done(Action::DeleteClassicLoadBalancer {
                name: balancer.load_balancer_name.clone(),
            })
        });
        for group in &mut network.groups {
            for rule in &mut group.ip_permissions {
                rule.user_id_group_pairs.retain(|pair| {
                    !is_done(Action::RevokeRules {
                        group: group.group_id.clone(),
                        names: pair.group_id.clone(),
                        ingress: true,
                    })
                });
            }
        }
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_of_anybody_elses_is_ever_touched(estate in estate()) {
        let plan = Plan::of(&estate, &Wishes::default()).unwrap();
        let network = estate.network.clone().unwrap_or_default();
        for step in &plan.steps {
            let stack = estate.stacks.iter().find(|left| Some(left.name()) == step.stack.as_deref());
            match &step.action {
                Action::DeleteLoadBalancer { arn } => {
                    let left = network.balancers.iter().find(|l| l.balancer.load_balancer_arn == *arn);
                    prop_assert!(are_ours(&left.unwrap().tags));
                }
                Action::DeleteTargetGroup { arn } => {
                    let mut all = network.balancers.iter().flat_map(|left| &left.target_groups);
                    let (_, tags) = all.find(|(group, _)| group.target_group_arn == *arn).unwrap();
                    prop_assert!(are_ours(tags));
                }
                Action::DeleteClassicLoadBalancer { name } => {
                    let mut all = network.classics.iter();
                    let (_, tags) = all.find(|(lb, _)| lb.load_balancer_name == *name).unwrap();
                    prop_assert!(are_ours(tags));
                }
                Action::DeleteSecurityGroup { id } | Action::RevokeRules { group: id, .. } => {
                    let group = network.groups.iter().find(|group| group.group_id == *id);
                    prop_assert!(are_ours(&group.unwrap().tags));
                }
                Action::DeleteNetworkInterface { id } => {
                    let mut all = network.interfaces.iter();
                    let one = all.find(|one| one.network_interface_id == *id).unwrap();
                    prop_assert_eq!(&one.status, "available");
                    let is_plugins = network.is_ours
                        && one.description.starts_with("aws-K8S-")
                        && one.tag_set.iter().all(|tag| tag.value == "shared");
                    prop_assert!(are_ours(&one.tag_set) || is_plugins);
                }
                Action::DeleteRolePolicy { role, policy, .. } => {
                    let role = stack.unwrap().roles.iter().find(|one| one.name == *role).unwrap();
                    prop_assert!(!role.owned.as_ref().unwrap().inline.contains(policy));
                    prop_assert!(role.owned.as_ref().unwrap().untold.is_empty());
                }
                Action::DetachRolePolicy { role, policy_arn } => {
                    let role = stack.unwrap().roles.iter().find(|one| one.name == *role).unwrap();
                    prop_assert!(!role.owned.as_ref().unwrap().attached.contains(policy_arn));
                }
                Action::RemoveRoleFromInstanceProfile { role, profile } => {
                    let role = stack.unwrap().roles.iter().find(|one| one.name == *role).unwrap();
                    prop_assert!(!role.owned.as_ref().unwrap().profiles.contains(profile));
                }
                Action::DisableTerminationProtection { .. } => prop_assert!(false, "nobody wished it"),
                Action::DeleteStack { retain, force, .. } => {
                    let stack = &stack.unwrap().stack;
                    prop_assert!(!stack.enable_termination_protection && !stack.is_under_way());
                    prop_assert!(stack.parent_id.is_empty() && retain.is_empty() && !force);
                }
            }
        }
    }

    #[test]
    fn no_step_needs_a_later_one(estate in estate()) {
        let plan = Plan::of(&estate, &Wishes::default()).unwrap();
        for left in &estate.stacks {
            let Some(own) = deletion(&plan, left.name()) else { continue };
            for importer in &left.importers {
                // Those that are not of the cluster would keep it.
                let is_there = estate.stacks.iter().any(|other| other.name() == importer);
                prop_assert!(is_there == deletion(&plan, importer).is_some_and(|by| by < own));
            }
            let for_it = plan.steps.iter().enumerate().filter(|(_, step)| {
                step.stack.as_deref() == Some(left.name())
            });
            prop_assert!(for_it.map(|(nth, _)| nth).all(|nth| nth <= own));
        }
        for (nth, step) in plan.steps.iter().enumerate() {
            if let Action::DeleteSecurityGroup { id } = &step.action {
                let rules = plan.steps.iter().enumerate().filter(|(_, other)| {
                    matches!(&other.action, Action::RevokeRules { names, .. } if names == id)
                });
                prop_assert!(rules.map(|(at, _)| at).all(|at| at < nth));
            }
            if matches!(step.action, Action::DeleteStack { .. }) {
                // What Kubernetes left uses what stacks made.
                prop_assert!(plan.steps[nth..].iter().all(|later| later.stack.is_some()));
            }
        }
    }

    #[test]
    fn every_stack_is_deleted_or_kept_for_a_reason(estate in estate()) {
        let plan = Plan::of(&estate, &Wishes::default()).unwrap();
        for left in &estate.stacks {
            let what = format!("stack {}", left.name());
            let kept = plan.kept.iter().filter(|kept| kept.what == what).count();
            let deleted = usize::from(deletion(&plan, left.name()).is_some());
            prop_assert_eq!(kept + deleted, 1, "{}", what);
        }
    }

    #[test]
    fn a_finished_plan_leaves_nothing_to_do(estate in estate()) {
        let plan = Plan::of(&estate, &Wishes::default()).unwrap();
        let again = Plan::of(&applied(&estate, &plan), &Wishes::default()).unwrap();
        prop_assert!(again.steps.is_empty(), "{:?}", again.steps);
    }

    #[test]
    fn of_a_cluster_that_lives_there_is_no_plan(estate in estate()) {
        let mut alive = estate;
        alive.living.insert(CLUSTER.to_owned());
        let refused = Plan::of(&alive, &Wishes::default());
        prop_assert_eq!(refused, Err(Refusal::Alive(CLUSTER.to_owned())));
    }

    #[test]
    fn a_plan_survives_its_file(estate in estate()) {
        let plan = Plan::of(&estate, &Wishes::default()).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        prop_assert!(read.is_untouched());
        prop_assert_eq!(read, plan);
    }
}

#[test]
fn of_a_cluster_that_is_being_made_there_is_no_plan() {
    let stack = Stack {
        stack_name: "eksctl-kf-old-cluster".to_owned(),
        stack_status: "CREATE_IN_PROGRESS".to_owned(),
        ..Stack::default()
    };
    let left = StackLeft { stack, ..StackLeft::default() };
    let estate = Estate { cluster: CLUSTER.to_owned(), stacks: vec![left], ..Estate::default() };
    let refused = Plan::of(&estate, &Wishes::default());
    assert_eq!(refused, Err(Refusal::OnItsWay("eksctl-kf-old-cluster".to_owned())));
}

#[test]
fn a_stack_whose_own_cluster_lives_stays_whatever_its_tags_say() {
    let part = StackResource {
        resource_type: "AWS::EKS::Cluster".to_owned(),
        physical_resource_id: "renamed".to_owned(),
        resource_status: "CREATE_COMPLETE".to_owned(),
        ..StackResource::default()
    };
    let stack = Stack { stack_name: "eksctl-kf-old-cluster".to_owned(), ..Stack::default() };
    let left =
        StackLeft { stack, parts: vec![part], has_service_role: true, ..StackLeft::default() };
    let estate = Estate {
        cluster: CLUSTER.to_owned(),
        living: BTreeSet::from(["renamed".to_owned()]),
        stacks: vec![left],
        ..Estate::default()
    };
    let plan = Plan::of(&estate, &Wishes::default()).unwrap();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.kept[1].because, "its cluster renamed exists");
}
