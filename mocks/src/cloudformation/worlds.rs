use std::{
    io::{BufRead, BufReader, Error, Lines, Result, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::server::lock;

use super::{moto::Moto, stack::Stack};

/// A program that makes a world at a moto server, and gives it as often as it is asked for:
/// `tests/moto/orphan.py`.
#[derive(Clone)]
pub struct Worlds {
    wires: Arc<Mutex<Wires>>,
}

struct Wires {
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Whether it has been asked for the next one; for the first it has not to be.
    asked: bool,
    process: Child,
}

/// A moto server with the world as it was made. It ends when this is dropped.
pub struct World {
    /// Its URL.
    pub endpoint: String,
    /// The account's id.
    pub account: String,
    /// The region in which all is.
    pub region: String,
    /// What a [`CloudFormationMock`](super::CloudFormationMock) before it has.
    pub stacks: Vec<Stack>,
    /// What there is, by name.
    pub ids: Value,
    moto: Moto,
    worlds: Worlds,
}

impl Worlds {
    /// Has a program of Python's make its world, which takes some seconds.
    pub fn start(python: &Path, program: &Path) -> Result<Self> {
        let mut process = Command::new(python)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or_else(|| Error::other("no output"))?;
        let output = BufReader::new(output).lines();
        let wires = Wires { input, output, asked: true, process };
        Ok(Self { wires: Arc::new(Mutex::new(wires)) })
    }

    /// The world as it was made, at a server of its own. All ids are the same each time.
    pub fn another(&self) -> Result<World> {
        let mut wires = lock(&self.wires);
        if !std::mem::take(&mut wires.asked) {
            wires.say("\n")?;
        }
        let line = wires.output.next();
        let line =
            line.ok_or_else(|| Error::other("the program has ended; is moto installed?"))??;
        let mut said: Value = serde_json::from_str(&line)?;
        let stacks = serde_json::from_value(said["stacks"].take())?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let (endpoint, account, region) = (text("endpoint"), text("account"), text("region"));
        let ids = said["ids"].take();
        let moto = Moto::at(&endpoint)?;
        Ok(World { moto, endpoint, account, region, stacks, ids, worlds: self.clone() })
    }
}

impl Wires {
    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(|| Error::other("no input"))?;
        input.write_all(line.as_bytes())?;
        input.flush()
    }
}

impl World {
    /// The id that something has in `ids`, as a JSON pointer finds it: `/orphan/nodeRole`.
    pub fn id(&self, pointer: &str) -> &str {
        self.ids.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Changes or reads something as somebody else would, not through what stands before moto. The
    /// service is `ec2`, `elb`, `elbv2` or `iam`; an answer that is none is an error.
    pub async fn ask(
        &self,
        service: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String> {
        let answer = self.moto.ask((service, &self.region), action, parameters).await?;
        if answer.is_good() { Ok(answer.text) } else { Err(Error::other(answer.text)) }
    }

    /// The same of EKS: `POST /clusters` with `{"name": …}` brings a cluster to life.
    pub async fn ask_eks(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.moto.eks(&self.region, method, path, body).await?;
        if status < 300 { Ok(serde_json::from_str(&answer)?) } else { Err(Error::other(answer)) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // If the program is gone, so is the server.
        let _ = lock(&self.worlds.wires).say(&format!("end {}\n", self.endpoint));
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}
