//! A certificate with its key.
//!
//! In: PEM. Out: [`Pair`]. Invariant: certificate and key belong together, and the certificate is one that was wanted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::request::Wanted;

/// Part of its life after which a certificate is renewed: between these, as a kubelet does it, so that nodes that came together do not
/// ask together.
const RENEW_AFTER: (f64, f64) = (0.7, 0.9);

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is not whole PEM with a certificate and its key")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("its key cannot be used, or is not that of the certificate")]
    Key,
    #[error("the certificate cannot be read")]
    Certificate,
    #[error("it is {found:?}'s, and {wanted:?}'s is wanted")]
    Subject { found: String, wanted: String },
    #[error("it is not good for {0}")]
    Name(String),
    #[error("its time is over")]
    Expired,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The certificate, what is between it and its authority, and the key.
    pub(super) certified: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
    /// Between 0 and 1, the same for the same certificate.
    jitter: f64,
}

impl Pair {
    /// Reads the PEM of a chain and of a key, in one text, and checks that it is what is wanted.
    pub(crate) fn read(pem: &str, wanted: &Wanted, now: SystemTime) -> Result<Self, Unusable> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(Unusable::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(Unusable::Pem)?;
        let first = chain.first().ok_or(Unusable::Certificate)?.clone();
        // What rustls says is not told: it may quote the key.
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|_| Unusable::Key)?;
        let (_, certificate) = X509Certificate::from_der(&first).map_err(|_| Unusable::Certificate)?;
        check(&certificate, wanted)?;
        let time = |time: x509_parser::time::ASN1Time| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
        };
        let validity = certificate.validity();
        let (not_before, not_after) = (time(validity.not_before), time(validity.not_after));
        if not_after <= now {
            return Err(Unusable::Expired);
        }
        let jitter = Sha256::digest(&first).first().map_or(0.0, |byte| f64::from(*byte) / f64::from(u8::MAX));
        Ok(Self { certified: Arc::new(certified), not_before, not_after, jitter })
    }

    /// When the next one should be asked for. Signers date certificates back by minutes: of one that was just `received` what lies before does not
    /// count, or a short-lived one would be due at once, again and again.
    pub(crate) fn renewal(&self, received: Option<SystemTime>) -> SystemTime {
        let begin = received.map_or(self.not_before, |received| received.max(self.not_before));
        let life = self.not_after.duration_since(begin).unwrap_or_default();
        let (least, most) = RENEW_AFTER;
        begin + life.mul_f64(least + (most - least) * self.jitter)
    }

    /// When its time is over.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

fn check(certificate: &X509Certificate<'_>, wanted: &Wanted) -> Result<(), Unusable> {
    let found = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if found != wanted.user() {
        return Err(Unusable::Subject { found: found.to_owned(), wanted: wanted.user() });
    }
    let names = certificate.subject_alternative_name().map_err(|_| Unusable::Certificate)?;
    let names = names.map(|names| &*names.value.general_names).unwrap_or_default();
    let missing = wanted.names().iter().find(|name| !names.iter().any(|known| is(known, name)));
    missing.map_or(Ok(()), |name| Err(Unusable::Name(name.clone())))
}

fn is(known: &GeneralName<'_>, name: &str) -> bool {
    match (known, name.parse::<IpAddr>()) {
        (GeneralName::IPAddress(bytes), Ok(IpAddr::V4(address))) => *bytes == address.octets(),
        (GeneralName::IPAddress(bytes), Ok(IpAddr::V6(address))) => *bytes == address.octets(),
        (GeneralName::DNSName(known), Err(_)) => *known == name,
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    /// Signed by itself, for `names`, until the year 4096.
    pub(crate) fn signed(wanted: &Wanted, key: &KeyPair, names: &[&str]) -> String {
        sign(wanted, key, names, |_| {})
    }

    fn sign(wanted: &Wanted, key: &KeyPair, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, wanted.user());
        change(&mut params);
        format!("{}{}", params.self_signed(key).unwrap().pem(), key.serialize_pem())
    }

    fn of_2026(params: &mut CertificateParams) {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    }

    fn in_2026(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + days * 86_400)
    }

    #[test]
    fn a_certificate_is_renewed_between_70_and_90_percent_of_its_life() {
        let wanted = Wanted::client("n");
        for _ in 0..20 {
            let pem = sign(&wanted, &KeyPair::generate().unwrap(), &[], of_2026);
            let pair = Pair::read(&pem, &wanted, in_2026(100)).unwrap();
            let renewal = pair.renewal(None);
            assert!(renewal >= in_2026(255) && renewal <= in_2026(329), "{renewal:?}");
            assert_eq!(renewal, Pair::read(&pem, &wanted, in_2026(0)).unwrap().renewal(None));
            // Dated back by most of its life: what is left counts.
            let late = pair.renewal(Some(in_2026(355)));
            assert!(late >= in_2026(362) && late < pair.not_after(), "{late:?}");
        }
    }

    #[test]
    fn only_what_was_wanted_is_usable() {
        let wanted = Wanted::serving("n", "10.0.0.7".parse().unwrap());
        let key = KeyPair::generate().unwrap();
        let read = |pem: &str, day| Pair::read(pem, &wanted, in_2026(day)).map_err(|error| error.to_string());
        let good = sign(&wanted, &key, &["n", "10.0.0.7"], of_2026);
        assert!(read(&good, 0).is_ok());
        assert_eq!(read(&good, 365).unwrap_err(), "its time is over");
        assert_eq!(read(&signed(&wanted, &key, &["n"]), 0).unwrap_err(), "it is not good for 10.0.0.7");
        let other = signed(&Wanted::client("m"), &key, &["n", "10.0.0.7"]);
        assert!(read(&other, 0).unwrap_err().contains("system:node:m"));
        let certificate = good.split_once("-----BEGIN PRIVATE").unwrap().0;
        let foreign = format!("{certificate}{}", KeyPair::generate().unwrap().serialize_pem());
        assert!(read(&foreign, 0).unwrap_err().starts_with("its key"));
        assert!(read(certificate, 0).is_err());
        assert!(read("", 0).is_err());
    }
}
