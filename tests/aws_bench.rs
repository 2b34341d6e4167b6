//! What a run costs in an account full of other things.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints figures")]

use std::{
    io,
    process::{Command, Stdio},
    time::Instant,
};

use kfcheck::Bundle;
use kfcheck_mocks::Served;
use kfcheck_tests::{Sky, release, root};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let program = release()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let bundle = root().join("tests/scenarios/aws-healthy-cognito/bundle");
    let opened = || Bundle::open(&bundle).map_err(io::Error::other);
    for (name, bundle) in [("alone", opened()?), ("in a crowd", crowded(opened()?))] {
        let sky = runtime.block_on(Sky::of(bundle, |mock| mock));
        let mut command = Command::new(&program);
        command.arg("aws");
        sky.lead_to_amazon(&mut command, &sky.amazon.url());
        let start = Instant::now();
        let child = command.stdout(Stdio::null()).spawn()?;
        let (seconds, kilobytes) = cost(child)?;
        println!(
            "{name}: {} + {} calls, {} ms, {seconds:.2} s of CPU, {} MB",
            sky.kubernetes.calls().len(),
            sky.amazon.asked().len(),
            start.elapsed().as_millis(),
            kilobytes / 1024,
        );
    }
    Ok(())
}

/// The seconds of CPU and the most kilobytes of memory that a process takes.
fn cost(mut child: std::process::Child) -> io::Result<(f64, u64)> {
    let (status, stat) =
        (format!("/proc/{}/status", child.id()), format!("/proc/{}/stat", child.id()));
    let (mut kilobytes, mut ticks) = (0, 0);
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes = kilobytes.max(peak.unwrap_or_default());
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let used: Vec<u64> = fields.skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
        ticks = ticks.max(used.iter().sum());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // Linux counts a hundred of them a second (`getconf CLK_TCK`).
    Ok((ticks as f64 / 100.0, kilobytes))
}

/// The same deployment in an account with 50 more application load balancers, 50 more classic ones,
/// 100 more stacks and 200 more roles.
fn crowded(bundle: Bundle) -> Bundle {
    let served = Served::of(&bundle);
    let more = |place: &str, key: &str, count: usize, one: &dyn Fn(usize) -> Value| {
        let mut file = served.json(place).unwrap_or_else(|| json!({ key: [] }));
        if let Some(all) = file[key].as_array_mut() {
            all.extend((0..count).map(one));
        }
        file
    };
    let region = served.manifest()["aws"]["region"].as_str().unwrap_or_default().to_owned();
    let account = served.manifest()["aws"]["accountId"].as_str().unwrap_or_default().to_owned();
    let arn = |n: usize| {
        format!(
            "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/app/other-{n}/{n:016}"
        )
    };
    let dns = |n: usize| format!("other-{n}-1.{region}.elb.amazonaws.com");
    let balancers = more("aws/elbv2/describe-load-balancers", "LoadBalancers", 50, &|n| {
        json!({ "LoadBalancerArn": arn(n), "LoadBalancerName": format!("other-{n}"),
            "DNSName": dns(n), "VpcId": "vpc-other", "Type": "application",
            "State": { "Code": "active" } })
    });
    let tags = more(
        "aws/elbv2/describe-tags",
        "TagDescriptions",
        50,
        &|n| json!({ "ResourceArn": arn(n), "Tags": [{ "Key": "team", "Value": "other" }] }),
    );
    let classics = more("aws/elb/describe-load-balancers", "LoadBalancerDescriptions", 50, &|n| {
        json!({ "LoadBalancerName": format!("classic-{n}"), "DNSName": dns(n),
            "VPCId": "vpc-other", "ListenerDescriptions": [] })
    });
    let classic_tags = more(
        "aws/elb/describe-tags",
        "TagDescriptions",
        50,
        &|n| json!({ "LoadBalancerName": format!("classic-{n}"), "Tags": [] }),
    );
    let stacks = more("aws/cloudformation/describe-stacks", "Stacks", 100, &|n| {
        json!({ "StackId": format!("arn:aws:cloudformation:{region}:{account}:stack/other-{n}/{n}"),
            "StackName": format!("other-{n}"), "StackStatus": "CREATE_COMPLETE",
            "CreationTime": "2020-01-01T00:00:00Z", "Tags": [] })
    });
    let roles = more("aws/iam/list-roles", "Roles", 200, &|n| {
        json!({ "RoleName": format!("other-{n}"), "Path": "/", "RoleId": format!("AROA{n:016}"),
            "Arn": format!("arn:aws:iam::{account}:role/other-{n}"),
            "CreateDate": "2020-01-01T00:00:00Z", "AssumeRolePolicyDocument": {} })
    });
    bundle
        .with("aws/elbv2/describe-load-balancers.json", balancers)
        .with("aws/elbv2/describe-tags.json", tags)
        .with("aws/elb/describe-load-balancers.json", classics)
        .with("aws/elb/describe-tags.json", classic_tags)
        .with("aws/cloudformation/describe-stacks.json", stacks)
        .with("aws/iam/list-roles.json", roles)
}
