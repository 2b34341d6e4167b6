use kfcheck::{Cx, Fact, FactError, Fault, Place, redact::redact};
use serde::{Deserialize, Serialize};

use crate::client::{Discovery, KubeClient};

/// What a container has written last.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerLog {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
}

/// The last lines of a log, secrets taken out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct LogLines(Vec<String>);

/// How many lines are kept.
const KEPT: usize = 200;

/// How many bytes of a line. Container runtimes break longer ones (containerd, `max_container_log_line_size`).
const LONGEST: usize = 16 << 10;

impl From<String> for LogLines {
    fn from(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        // One that is left at the end would be a part of the line's end once it is written.
        let lines: Vec<_> = lines.map(|line| line.trim_end_matches('\r')).collect();
        let from = lines.len().saturating_sub(KEPT);
        let lines: Vec<_> = lines[from..].iter().map(|line| beginning(line)).collect();
        let clean = redact(&lines.join("\n")).into_owned();
        Self(clean.lines().map(|line| beginning(line).to_owned()).collect())
    }
}

fn beginning(line: &str) -> &str {
    &line[..line.floor_char_boundary(LONGEST)]
}

impl From<LogLines> for String {
    fn from(lines: LogLines) -> Self {
        lines.0.join("\n") + "\n"
    }
}

impl LogLines {
    /// The last line that speaks of an error, or else nothing.
    pub fn last_error(&self) -> Option<&str> {
        let speaks = |line: &&String| {
            let line = line.to_ascii_lowercase();
            let words = ["error", "fatal", "critical", "panic", "denied", "failed", "exception"];
            words.iter().any(|word| line.contains(word))
        };
        self.0.iter().rev().find(speaks).map(String::as_str)
    }

    /// The last line.
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Every line kept, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Fact for ContainerLog {
    const NAME: &'static str = "kube.log";
    const NEEDS: &'static [&'static str] = &["get pods/log"];
    type Value = LogLines;

    fn place(&self) -> Option<Place<LogLines>> {
        let Self { namespace, pod, container } = self;
        let path = format!("kubernetes/logs/{namespace}/{pod}/{container}.log");
        let command = format!("kubectl logs -n {namespace} {pod} -c {container} --tail={KEPT}");
        Some(Place::text(path, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<LogLines, FactError> {
        let Self { namespace, pod, container } = self;
        cx.get(Discovery).await?;
        let connection = cx.client::<KubeClient>()?.connection().await?;
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines={KEPT}"
        );
        let answer = connection.get(cx, &path, "*/*").await?;
        let what = format!("the log of {namespace}/{pod}/{container}");
        let body = match answer.body(&what, "get pods/log") {
            // It is there; its kubelet, or the container, has nothing to say.
            Err(Fault::Absent(what)) => Err(Fault::Unreachable(what + " is not there")),
            other => other,
        }?;
        Ok(String::from_utf8_lossy(&body).into_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, LogLines};

    #[test]
    fn of_a_line_without_end_the_beginning_is_kept() {
        let log = LogLines::from(format!("error: {}\nlast", "ä".repeat(1 << 20)));
        let lines: Vec<_> = log.lines().collect();
        assert!(
            lines[0].len() <= LONGEST && lines[0].starts_with("error: ä"),
            "{}",
            lines[0].len()
        );
        assert_eq!(lines[1], "last");
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_line_is_no_part_of_it() {
        for text in ["a\r\r\nb\r", "a\nb\n"] {
            assert_eq!(String::from(LogLines::from(text.to_owned())), "a\nb\n");
        }
    }
}
