//! Against moto, with boto3 as a client that nobody here wrote.

mod consistency;
mod reads;
mod refusals;
mod story;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::{Value, json};

use super::{CloudFormation, CloudFormationMock, Resource, Stack};
use crate::{Models, server::lock};

const PYTHON: &str = "target/tools/moto/bin/python";
const REGION: &str = "us-west-2";

/// A moto server and boto3, in one process.
struct Boto {
    url: String,
    wires: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _process: Child,
}

/// What boto3 says of a call: what came, or code and message of the error.
type Said = Result<Value, (String, String)>;

impl Boto {
    /// The one that all tests share; it ends with their process.
    fn get() -> &'static Self {
        static BOTO: OnceLock<Boto> = OnceLock::new();
        BOTO.get_or_init(|| {
            let own =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloudformation/tests/boto.py");
            let (process, input, mut output) = python(&own);
            let url = output.next().unwrap().unwrap();
            Self { url, wires: Mutex::new((input, output)), _process: process }
        })
    }

    fn ask_in(&self, region: &str, url: &str, what: &str, parameters: &Value) -> Said {
        let (service, method) = what.split_once(' ').unwrap();
        let call = json!({ "service": service, "method": method, "url": url, "region": region,
            "parameters": parameters });
        let mut wires = lock(&self.wires);
        writeln!(wires.0, "{call}").unwrap();
        let line = wires.1.next().unwrap().unwrap();
        let mut said: Value = serde_json::from_str(&line).unwrap();
        if let Some(said) = said.get_mut("said") {
            return Ok(said.take());
        }
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Err((text("code"), text("message")))
    }

    /// Asks moto itself, which has to do it.
    fn moto(&self, what: &str, parameters: &Value) -> Value {
        self.ask_in(REGION, &self.url, what, parameters).unwrap()
    }
}

/// Starts a program of Python's where moto is installed.
fn python(program: &Path) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut process = Command::new(root().join(PYTHON))
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("moto; scripts/moto installs it");
    let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    (process, input, BufReader::new(output).lines())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn models() -> Arc<Models> {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    let open = || Arc::new(Models::open(&root().join("target/tools/aws-api")).unwrap());
    Arc::clone(MODELS.get_or_init(open))
}

fn mock(stacks: Vec<Stack>) -> CloudFormationMock {
    CloudFormationMock::before(&Boto::get().url, models()).stacks(stacks)
}

impl CloudFormation {
    fn ask(&self, what: &str, parameters: &Value) -> Said {
        Boto::get().ask_in(REGION, &self.url(), what, parameters)
    }

    fn cfn(&self, method: &str, parameters: &Value) -> Said {
        self.ask(&format!("cloudformation {method}"), parameters)
    }

    /// The status of a stack, and why.
    fn status(&self, stack: &str) -> (String, String) {
        let said = self.cfn("describe_stacks", &json!({ "StackName": stack })).unwrap();
        let text = |name: &str| said["Stacks"][0][name].as_str().unwrap_or_default().to_owned();
        (text("StackStatus"), text("StackStatusReason"))
    }

    /// What became of a deletion of a stack, which is there for one read.
    fn delete(&self, stack: &Stack) -> (String, String) {
        self.cfn("delete_stack", &json!({ "StackName": stack.id })).unwrap();
        assert_eq!(self.status(&stack.id).0, "DELETE_IN_PROGRESS");
        self.status(&stack.id)
    }

    fn known(&self) {
        assert_eq!(self.unknown(), Vec::<String>::new());
    }
}

/// A stack with that name and these parts.
fn stack(name: &str, resources: Vec<Resource>) -> Stack {
    Stack {
        name: name.to_owned(),
        id: format!("arn:aws:cloudformation:{REGION}:123456789012:stack/{name}/1"),
        status: "CREATE_COMPLETE".to_owned(),
        creation_time: "2025-03-01T10:00:00Z".to_owned(),
        resources,
        ..Stack::default()
    }
}

fn part(logical_id: &str, kind: &str, physical_id: &str) -> Resource {
    Resource {
        logical_id: logical_id.to_owned(),
        kind: kind.to_owned(),
        physical_id: physical_id.to_owned(),
        ..Resource::default()
    }
}

fn topic(logical_id: &str) -> Resource {
    part(logical_id, "AWS::SNS::Topic", &format!("arn:aws:sns:{REGION}:123456789012:{logical_id}"))
}

/// A role that moto has, with an inline policy.
fn role(name: &str, policy: &str) -> Resource {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
    let allow = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ec2:*", "Resource": "*" }] });
    let boto = Boto::get();
    let made = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
    boto.moto("iam create_role", &made);
    let put =
        json!({ "RoleName": name, "PolicyName": policy, "PolicyDocument": allow.to_string() });
    boto.moto("iam put_role_policy", &put);
    part("NodeInstanceRole", "AWS::IAM::Role", name)
}

fn refused(said: Said) -> String {
    let (code, message) = said.unwrap_err();
    assert_eq!(code, "ValidationError", "{message}");
    message
}
