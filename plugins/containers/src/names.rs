//! Names of what is made in the engine.
//!
//! In: the pod, the container, the attempt. Out: the one name that it has. Invariant: pure; the same thing always gets the same name, so a second
//! creation finds the first, and a container called like a sandbox does not.

use pluglet_sdk::PodRef;

/// Both engines take about 200 characters.
const LONGEST: usize = 199;
/// UIDs have 36.
const LONGEST_UID: usize = 64;
/// In capitals: no container's name has any.
const SANDBOX: &str = "SANDBOX";

pub(crate) fn sandbox(pod: &PodRef, attempt: u32) -> String {
    full(SANDBOX, pod, attempt)
}

pub(crate) fn container(name: &str, pod: &PodRef, attempt: u32) -> String {
    full(name, pod, attempt)
}

/// A volume of a pod that lives in memory.
pub(crate) fn volume(pod: &PodRef, name: &str) -> String {
    format!("pluglet_{}_{}", uid(pod), clean(name))
}

/// The pod's name is for people and gives way; the UID makes the name unique.
fn full(first: &str, pod: &PodRef, attempt: u32) -> String {
    let head = format!("pluglet_{}_", clean(first));
    let tail = format!("_{}_{}_{attempt}", clean(&pod.namespace), uid(pod));
    let room = LONGEST.saturating_sub(head.len() + tail.len());
    let name: String = clean(&pod.name).chars().take(room).collect();
    format!("{head}{name}{tail}")
}

fn uid(pod: &PodRef) -> String {
    clean(&pod.uid).chars().take(LONGEST_UID).collect()
}

/// The engines take letters, digits, `_`, `.` and `-`.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' }).collect()
}

/// Whether a text can be an id or a name in a path.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, namespace: &str) -> PodRef {
        let uid = "0a1b2c3d-0000-1111-2222-333344445555".to_owned();
        PodRef { uid, namespace: namespace.to_owned(), name: name.to_owned(), generation: 1 }
    }

    #[test]
    fn a_container_called_like_the_sandbox_has_another_name() {
        let web = pod("web-0", "shop");
        assert_eq!(sandbox(&web, 0), "pluglet_SANDBOX_web-0_shop_0a1b2c3d-0000-1111-2222-333344445555_0");
        assert_eq!(container("sandbox", &web, 3), "pluglet_sandbox_web-0_shop_0a1b2c3d-0000-1111-2222-333344445555_3");
    }

    #[test]
    fn the_longest_names_are_cut_and_stay_unique() {
        let long = pod(&"p".repeat(253), &"n".repeat(63));
        let name = container(&"c".repeat(63), &long, u32::MAX);
        assert!(name.len() < 200, "{}", name.len());
        assert!(name.ends_with("_0a1b2c3d-0000-1111-2222-333344445555_4294967295"), "{name}");
        assert!(is_name(&name));
    }

    #[test]
    fn what_an_engine_would_not_take_as_a_name_is_replaced() {
        let strange = PodRef { uid: "a/b:c_d".to_owned(), ..pod("web", "ns") };
        assert_eq!(volume(&strange, "x y"), "pluglet_a-b-c-d_x-y");
        for text in ["", "../x", "a/b", ".x", "a?b"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
