//! pluglet on a real control plane: real API server, scheduler, controllers and kubectl.

mod access;
mod certificates;
mod cli;
mod controllers;
mod deletion;
mod faults;
mod hostile;
mod kubelet;
mod logs;
mod metrics;
mod node;
mod outage;
mod pitfalls;
mod restart;
mod rotation;
mod sessions;
mod soak;
mod virtual_kubelet_defects;
