//! A provider for machines with a container engine: Docker, or Podman by its API that is compatible with Docker's.
//!
//! In: calls of the host, which decides what a kubelet decides. Out: requests to the engine's socket. Invariant: nothing is kept here; what is made
//! carries labels that tell all there is to know of it, and whatever lacks the labels of this node and cluster is never touched.

mod answer;
mod client;
mod config;
mod containers;
mod create;
mod decode;
mod engine;
mod events;
mod exec;
mod forward;
mod frames;
mod images;
mod inspect;
mod labels;
mod lines;
mod list;
mod logs;
mod message;
mod names;
mod pull;
mod reference;
mod sandboxes;
mod session;
mod stats;
mod status;
mod stop;
mod time;
mod volumes;

pub use engine::Engine;

pluglet_sdk::export!(pluglet_sdk::Containers<Engine>, {
    name: "containers",
    description: "Runs pods on a container engine: Docker, or Podman by its API that is compatible with Docker's.",
    features: [Containers, Watch, Logs, Exec, Attach, PortForward, Stats],
    endpoints: [{
        name: "engine",
        why: "the container engine that runs the pods; who may use its socket can do anything on its machine",
        methods: ["GET", "POST", "DELETE"],
        paths: [
            "/version",
            "/*/info",
            "/*/events",
            "/*/containers/**",
            "/*/exec/**",
            "/*/images/**",
            "/*/volumes",
            "/*/volumes/**",
            "/*/libpod/containers/**",
        ],
        upgrade: true,
    }],
    config_schema: include_str!("../config.schema.json"),
});
