//! `/etc/hosts` of a pod.
//!
//! In: its names, addresses and aliases. Out: the file. Invariant: byte for byte what a kubelet writes (`managedHostsFileContent`).

use k8s_openapi::api::core::v1::HostAlias;

const HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HEADER_OF_HOST: &str = "# Kubernetes-managed hosts file (host network).\n";
const LOCAL: &str = "127.0.0.1\tlocalhost\n\
                     ::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::0\tip6-localnet\n\
                     fe00::0\tip6-mcastprefix\n\
                     fe00::1\tip6-allnodes\n\
                     fe00::2\tip6-allrouters\n";

/// Of a pod with a network of its own.
#[must_use]
pub fn file(addresses: &[String], host: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut file = format!("{HEADER}{LOCAL}");
    for address in addresses {
        if domain.is_empty() {
            file.push_str(&format!("{address}\t{host}\n"));
        } else {
            file.push_str(&format!("{address}\t{host}.{domain}\t{host}\n"));
        }
    }
    file + &entries(aliases)
}

/// Of a pod with the machine's network, whose own file is `of_host`.
#[must_use]
pub fn file_of_host(of_host: &str, aliases: &[HostAlias]) -> String {
    format!("{HEADER_OF_HOST}{of_host}{}", entries(aliases))
}

fn entries(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let line = |alias: &HostAlias| {
        format!("{}\t{}\n", alias.ip, alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t"))
    };
    format!("\n# Entries added by HostAliases.\n{}", aliases.iter().map(line).collect::<String>())
}
