//! Requests for certificates, as Kubernetes' signers want them.
//!
//! In: what the certificate is for, the node's name and address, a key. Out: a PKCS #10 request and what goes with it. Invariant: subject, names
//! and usages are exactly those that the signer takes; it signs nothing that has more or less.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>.

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Being the node's server.
    Serving,
    /// Being the node towards the API server.
    Client,
}

/// A certificate that the node wants to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    purpose: Purpose,
    node_name: String,
    /// DNS names and addresses that it must be good for.
    names: Vec<String>,
}

/// A request, with the key that the certificate will belong to.
pub(crate) struct Request {
    /// Of the CertificateSigningRequest. The same key and names have the same, so that a process finds what an earlier one has asked for.
    pub(crate) name: String,
    /// `spec.signerName`.
    pub(crate) signer: &'static str,
    /// `spec.usages`. No key encipherment: that is for RSA, and the key is ECDSA P-256.
    pub(crate) usages: [&'static str; 2],
    /// `spec.request`, PEM.
    pub(crate) pem: String,
}

impl Wanted {
    /// For the server of a node. The signer wants an address: a name alone could be anybody's.
    pub(crate) fn serving(node_name: &str, address: IpAddr) -> Self {
        let names = vec![node_name.to_owned(), address.to_string()];
        Self { purpose: Purpose::Serving, node_name: node_name.to_owned(), names }
    }

    /// For the node as a client.
    pub(crate) fn client(node_name: &str) -> Self {
        Self { purpose: Purpose::Client, node_name: node_name.to_owned(), names: vec![] }
    }

    /// For people.
    pub(crate) fn purpose(&self) -> &'static str {
        match self.purpose {
            Purpose::Serving => "serving",
            Purpose::Client => "client",
        }
    }

    /// What its files are called: as a kubelet calls them.
    pub(super) fn file_stem(&self) -> &'static str {
        match self.purpose {
            Purpose::Serving => "kubelet-server",
            Purpose::Client => "kubelet-client",
        }
    }

    /// Its common name: who has it is this user to the API server.
    pub(crate) fn user(&self) -> String {
        format!("system:node:{}", self.node_name)
    }

    /// DNS names and addresses that it must be good for.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The node that it is for.
    pub(super) fn node_name(&self) -> &str {
        &self.node_name
    }

    /// Asks for it with this key.
    pub(super) fn request(&self, key: &KeyPair) -> Result<Request, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, self.user());
        let mut digest = Sha256::new_with_prefix(key.subject_public_key_info());
        self.names.iter().for_each(|name| digest.update(format!("\0{name}")));
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let (signer, usage) = match self.purpose {
            Purpose::Serving => ("kubernetes.io/kubelet-serving", "server auth"),
            Purpose::Client => ("kubernetes.io/kube-apiserver-client-kubelet", "client auth"),
        };
        Ok(Request {
            name: format!("{}-{}-{digest}", self.node_name, self.purpose()),
            signer,
            usages: ["digital signature", usage],
            pem: params.serialize_request(key)?.pem()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer;

    use super::*;

    fn read(request: &Request, look: impl FnOnce(&X509CertificationRequest<'_>)) {
        let (_, pem) = x509_parser::pem::parse_x509_pem(request.pem.as_bytes()).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        look(&request);
    }

    #[test]
    fn the_requests_have_the_subject_and_the_names_that_the_signers_want() {
        let key = KeyPair::generate().unwrap();
        let serving = Wanted::serving("virtual-1", "10.0.0.7".parse().unwrap()).request(&key).unwrap();
        assert_eq!((serving.signer, serving.usages[1]), ("kubernetes.io/kubelet-serving", "server auth"));
        read(&serving, |request| {
            let info = &request.certification_request_info;
            assert_eq!(info.subject.to_string(), "O=system:nodes, CN=system:node:virtual-1");
            let extensions: Vec<_> = request.requested_extensions().unwrap().collect();
            let [ParsedExtension::SubjectAlternativeName(names)] = extensions[..] else { panic!("{extensions:?}") };
            let expected = [GeneralName::DNSName("virtual-1"), GeneralName::IPAddress(&[10, 0, 0, 7])];
            assert_eq!(names.general_names, expected);
        });
        let client = Wanted::client("virtual-1").request(&key).unwrap();
        assert_eq!((client.signer, client.usages[1]), ("kubernetes.io/kube-apiserver-client-kubelet", "client auth"));
        read(&client, |request| assert!(request.requested_extensions().is_none()));
    }

    #[test]
    fn the_same_key_and_names_are_the_same_request_and_others_are_another() {
        let key = KeyPair::generate().unwrap();
        let name =
            |address: &str, key: &KeyPair| Wanted::serving("n", address.parse().unwrap()).request(key).unwrap().name;
        assert_eq!(name("10.0.0.7", &key), name("10.0.0.7", &key));
        assert_ne!(name("10.0.0.7", &key), name("10.0.0.8", &key));
        assert_ne!(name("10.0.0.7", &key), name("10.0.0.7", &KeyPair::generate().unwrap()));
        assert!(name("10.0.0.7", &key).starts_with("n-serving-"));
    }
}
