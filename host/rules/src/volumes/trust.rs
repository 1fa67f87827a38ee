//! Contents of clusterTrustBundle files.
//!
//! In: ClusterTrustBundles. Out: one PEM file. Invariant: each certificate once, sorted by its bytes, so the same
//! bundles always make the same file; comments and headers of the PEM are gone (`normalizeTrustAnchors`; the kubelet
//! shuffles once at its start).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::objects::TrustBundle;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Characters of base64 in a line, as Go's `pem.Encode` writes them.
const LINE: usize = 64;

/// Go's decoder takes a last character with bits that are not used.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// All certificates of all bundles as one PEM text.
pub(crate) fn normalize<'a>(bundles: impl Iterator<Item = &'a TrustBundle>) -> Vec<u8> {
    let certificates: BTreeSet<Vec<u8>> = bundles.flat_map(|bundle| certificates(&bundle.pem)).collect();
    let mut pem = String::new();
    for certificate in &certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64.encode(certificate);
        for (at, character) in text.chars().enumerate() {
            if at > 0 && at % LINE == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}

/// The bytes of each block. A block that is none is passed over, as Go does.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in pem.lines().map(str::trim_end) {
        if line.starts_with(BEGIN) && line.ends_with(DASHES) {
            block = Some(String::new());
        } else if line.starts_with(END) && line.ends_with(DASHES) {
            let bytes = block.take().and_then(|text| BASE64.decode(text).ok());
            found.extend(bytes);
        } else if let Some(text) = &mut block
            && !line.contains(':')
        {
            text.push_str(line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn bundle(pem: &str) -> TrustBundle {
        TrustBundle { name: "b".into(), signer_name: String::new(), labels: BTreeMap::new(), pem: pem.into() }
    }

    fn normalized(pems: &[&str]) -> String {
        let bundles: Vec<_> = pems.iter().map(|pem| bundle(pem)).collect();
        String::from_utf8(normalize(bundles.iter())).unwrap()
    }

    #[test]
    fn comments_and_headers_go_and_each_certificate_comes_once() {
        let first = "a comment\n-----BEGIN CERTIFICATE-----\nName: x\n\nYmJi\n-----END CERTIFICATE-----\nanother\n";
        let second = "-----BEGIN CERTIFICATE-----\r\nYWFh\r\n-----END CERTIFICATE-----\r\n\
                      -----BEGIN CERTIFICATE-----\nYmJi\n-----END CERTIFICATE-----";
        let expected = "-----BEGIN CERTIFICATE-----\nYWFh\n-----END CERTIFICATE-----\n\
                        -----BEGIN CERTIFICATE-----\nYmJi\n-----END CERTIFICATE-----\n";
        assert_eq!(normalized(&[first, second]), expected);
    }

    #[test]
    fn lines_are_as_long_as_go_writes_them() {
        let long = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "YWFh".repeat(20));
        let expected = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n{}\n-----END CERTIFICATE-----\n",
            "YWFh".repeat(16),
            "YWFh".repeat(4)
        );
        assert_eq!(normalized(&[&long]), expected);
    }

    #[test]
    fn what_is_no_pem_makes_nothing() {
        assert_eq!(normalized(&["", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", "text"]), "");
    }
}
