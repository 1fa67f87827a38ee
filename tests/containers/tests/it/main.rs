//! Pods that become real containers.

mod life;
