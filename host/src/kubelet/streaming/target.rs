//! What a streaming request is about.
//!
//! In: path and query. Out: the pod, the container, the streams that the client wants. Invariant: refusals are the kubelet's, in its words.

use axum::http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use pluglet_model::PodKey;
use pluglet_model::provider::Features;

use super::handshake::Refusal;
use crate::kubelet::logs::has_container;
use crate::kubelet::routes::Rooms;

/// A pod of this node, and a container of it.
pub(super) struct Target {
    pub(super) key: PodKey,
    /// Empty where a whole pod is meant.
    pub(super) container: String,
}

impl Target {
    /// `{namespace}/{pod}/{container}` or `{namespace}/{pod}/{uid}/{container}`.
    pub(super) fn find(rooms: &Rooms, path: &[&str]) -> Result<Self, Refusal> {
        match path {
            [namespace, pod, container] => Self::look_up(rooms, namespace, pod, None, Some(container)),
            [namespace, pod, uid, container] => Self::look_up(rooms, namespace, pod, Some(uid), Some(container)),
            _ => Err(Refusal::not_found("pod does not exist")),
        }
    }

    /// `{namespace}/{pod}` or `{namespace}/{pod}/{uid}`.
    pub(super) fn of_pod(rooms: &Rooms, path: &[&str]) -> Result<Self, Refusal> {
        match path {
            [namespace, pod] => Self::look_up(rooms, namespace, pod, None, None),
            [namespace, pod, uid] => Self::look_up(rooms, namespace, pod, Some(uid), None),
            _ => Err(Refusal::not_found("pod does not exist")),
        }
    }

    fn look_up(
        rooms: &Rooms,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        container: Option<&str>,
    ) -> Result<Self, Refusal> {
        let seen = rooms.pods.find(namespace, name).filter(|seen| uid.is_none_or(|uid| uid == &*seen.key.uid));
        let seen = seen.ok_or_else(|| Refusal::not_found("pod does not exist"))?;
        let object: &Pod = &seen.object.peek();
        if let Some(container) = container.filter(|container| !has_container(object, container)) {
            return Err(Refusal::not_found(format!("container \"{container}\" not found in pod \"{name}\"")));
        }
        Ok(Self { key: seen.key, container: container.unwrap_or_default().to_owned() })
    }

    /// A provider that cannot do it is told of as such, before anything is opened.
    pub(super) fn offered(
        &self,
        rooms: &Rooms,
        offers: impl FnOnce(Features) -> bool,
        what: &str,
    ) -> Result<(), Refusal> {
        match rooms.provider.health().borrow().info.as_ref() {
            Some(info) if !offers(info.features) => {
                Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("this node's provider cannot {what}")))
            }
            _ => Ok(()),
        }
    }
}

/// The query of exec and attach. Only the literal `1` is true.
pub(super) struct Options {
    command: Vec<String>,
    input: bool,
    output: bool,
    error: bool,
    tty: bool,
}

/// The streams that a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

impl Options {
    pub(super) fn parse(query: &str) -> Self {
        let mut options = Self { command: vec![], input: false, output: false, error: false, tty: false };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let flag = value == "1";
            match &*name {
                "command" => options.command.push(value.into_owned()),
                "input" => options.input = flag,
                "output" => options.output = flag,
                "error" => options.error = flag,
                "tty" => options.tty = flag,
                _ => {}
            }
        }
        options
    }

    /// With a terminal there is one output.
    pub(super) fn streams(&self) -> Result<Streams, Refusal> {
        let streams =
            Streams { stdin: self.input, stdout: self.output, stderr: self.error && !self.tty, tty: self.tty };
        if !streams.stdin && !streams.stdout && !streams.stderr {
            return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(streams)
    }

    pub(super) fn command(&self) -> Result<Vec<String>, Refusal> {
        if self.command.is_empty() {
            return Err(Refusal::bad_request(
                "no command is given: say it in the query, as command=PROGRAM&command=ARGUMENT",
            ));
        }
        Ok(self.command.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(query: &str) -> Result<Streams, String> {
        Options::parse(query).streams().map_err(|refusal| refusal.text)
    }

    #[test]
    fn only_the_literal_1_is_true_and_a_terminal_has_one_output() {
        let all = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        assert_eq!(streams("input=1&output=1&error=1"), Ok(all));
        assert_eq!(streams("input=1&output=1&error=1&tty=1"), Ok(Streams { stderr: false, tty: true, ..all }));
        for none in ["", "stdin=true&stdout=true", "input=true&output=yes", "error=1&tty=1"] {
            assert_eq!(streams(none), Err("you must specify at least 1 of stdin, stdout, stderr".to_owned()), "{none}");
        }
    }

    #[test]
    fn a_command_keeps_its_arguments_and_their_order() {
        let options = Options::parse("command=sh&command=-c&command=echo+a%26b&output=1");
        assert_eq!(options.command().unwrap(), ["sh", "-c", "echo a&b"]);
        assert!(Options::parse("output=1").command().is_err());
    }
}
