//! Pods that become real containers.

mod files;
mod images;
mod life;
mod order;
mod recovery;
mod security;
mod sessions;
