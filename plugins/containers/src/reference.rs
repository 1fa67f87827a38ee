//! Names of images.
//!
//! In: an image as the pod's author wrote it, and credentials. Out: what to ask the engine for, and as whom. Invariant: pure; a text that is no
//! name of an image never gets into a path.

use pluglet_sdk::{Error, RegistryCredential, Result};

const DOCKER_HUB: &str = "docker.io";

/// The parts of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// As written, without tag and digest.
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("{text:?} is no name of an image"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let reference = Self { name: name.to_owned(), tag, digest };
        reference.is_valid().then_some(reference).ok_or_else(invalid)
    }

    fn is_valid(&self) -> bool {
        let word = |word: &str, more: &[char]| {
            !word.is_empty()
                && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') || more.contains(&c))
        };
        // Only a registry has a port.
        let (registry, rest) =
            self.name.split_once('/').map_or((None, self.name.as_str()), |(first, rest)| (Some(first), rest));
        let part = |part: &str, more: &[char]| word(part, more) && part != "." && part != "..";
        let mut fits = registry
            .map(|registry| part(registry, &[':']))
            .into_iter()
            .chain(rest.split('/').map(|text| part(text, &[])));
        let suffix = |suffix: &Option<String>, more: &[char]| suffix.as_deref().is_none_or(|suffix| word(suffix, more));
        fits.all(|fits| fits) && suffix(&self.tag, &[]) && suffix(&self.digest, &[':', '+', '='])
    }

    /// For a path: with the digest where there is one, which makes the tag meaningless, and Podman does not take both.
    pub(crate) fn full(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.name),
            (None, tag) => format!("{}:{}", self.name, tag.as_deref().unwrap_or("latest")),
        }
    }

    /// `fromImage` and `tag` of a pull. Docker would take an image without a tag for all of its tags.
    pub(crate) fn to_pull(&self) -> (String, Option<&str>) {
        match self.digest {
            Some(_) => (self.full(), None),
            None => (self.name.clone(), Some(self.tag.as_deref().unwrap_or("latest"))),
        }
    }

    /// The text without which messages about it are about something else.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Registry and repository, with those of Docker Hub written out.
    fn place(&self) -> String {
        let (registry, repository) = match self.name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DOCKER_HUB, self.name.as_str()),
        };
        let registry = hub(registry);
        let library = if registry == DOCKER_HUB && !repository.contains('/') { "library/" } else { "" };
        format!("{registry}/{library}{repository}")
    }

    /// The credential with the longest place that this image is in.
    pub(crate) fn credential<'a>(&self, credentials: &'a [RegistryCredential]) -> Option<&'a RegistryCredential> {
        let own = self.place();
        let fits = |place: &str| own.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let mut best: Option<(usize, &RegistryCredential)> = None;
        for credential in credentials {
            let place = credential_place(&credential.registry);
            // The first of several that are as long.
            if fits(&place) && best.is_none_or(|(length, _)| place.len() > length) {
                best = Some((place.len(), credential));
            }
        }
        best.map(|(_, credential)| credential)
    }
}

/// A registry as Secrets have it: `https://index.docker.io/v1/`, `registry.example.com/team`.
fn credential_place(registry: &str) -> String {
    let rest = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/v1").or_else(|| rest.strip_suffix("/v2")).unwrap_or(rest);
    match rest.split_once('/') {
        Some((first, path)) => format!("{}/{path}", hub(first)),
        None => hub(rest).to_owned(),
    }
}

/// Docker Hub's names are one.
fn hub(registry: &str) -> &str {
    match registry {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    #[test]
    fn names_come_apart_as_the_engines_take_them() {
        let digest = "sha256:78072ee9c19cb9bd3a97ce0ee7914e6e3bdf9ba12255b0307a19cfc891746dee";
        for (text, full, tag) in [
            ("nginx", "nginx:latest".to_owned(), Some("latest")),
            ("nginx:1", "nginx:1".to_owned(), Some("1")),
            ("127.0.0.1:5000/t/bb", "127.0.0.1:5000/t/bb:latest".to_owned(), Some("latest")),
            ("127.0.0.1:5000/t/bb:1", "127.0.0.1:5000/t/bb:1".to_owned(), Some("1")),
            (&format!("r.example.com/bb:1@{digest}"), format!("r.example.com/bb@{digest}"), None),
        ] {
            let reference = parsed(text);
            assert_eq!((reference.full(), reference.to_pull().1), (full, tag), "{text}");
        }
        assert_eq!(parsed("127.0.0.1:5000/t/bb").to_pull().0, "127.0.0.1:5000/t/bb");
    }

    #[test]
    fn what_is_no_name_never_gets_into_a_path() {
        for text in
            ["", " ", "a b", "a//b", "../x", "a/../b", "a/b?x=1", "a/b#c", "a%2fb", "a:", "a@", "a:b:c", "/a", "a/"]
        {
            assert!(matches!(Reference::parse(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn the_longest_place_that_fits_decides_who_pulls() {
        let credential = |registry: &str| RegistryCredential {
            registry: registry.into(),
            username: registry.into(),
            ..RegistryCredential::default()
        };
        let all = ["https://index.docker.io/v1/", "r.example.com", "r.example.com/team", "r.example.com:5000"]
            .map(credential);
        let who = |image: &str| parsed(image).credential(&all).map(|found| found.registry.as_str());
        assert_eq!(who("nginx"), Some("https://index.docker.io/v1/"));
        assert_eq!(who("docker.io/library/nginx:1"), Some("https://index.docker.io/v1/"));
        assert_eq!(who("r.example.com/x"), Some("r.example.com"));
        assert_eq!(who("r.example.com/team/x"), Some("r.example.com/team"));
        assert_eq!(who("r.example.com/teamwork/x"), Some("r.example.com"));
        assert_eq!(who("r.example.com:5000/x"), Some("r.example.com:5000"));
        assert_eq!(who("other.example.com/x"), None);
    }
}
