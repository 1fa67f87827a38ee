//! Which addresses are dialled.

use std::sync::Mutex;

use futures::future::BoxFuture;

use super::*;

/// Answers one list after the other, then the last again.
pub(in crate::probes) struct Answers(Mutex<Vec<Vec<IpAddr>>>);

impl Answers {
    pub(in crate::probes) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let read = |list: &&[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().rev().map(read).collect())))
    }
}

impl Resolve for Answers {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such host")) })
    }
}

async fn allowed(reach: &Reach, host: &str) -> Result<usize, String> {
    reach.addresses(host).await.map(|addresses| addresses.len()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn pods_are_reached_where_pods_live() {
    let reach = Reach::new(false);
    for address in
        ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "20.1.1.1", "198.18.0.9", "240.0.0.9"]
    {
        assert_eq!(allowed(&reach, address).await, Ok(1), "{address}");
    }
}

#[tokio::test]
async fn nobody_reaches_the_link_or_a_metadata_service_in_whichever_form() {
    for loopback in [false, true] {
        let reach = Reach::new(loopback);
        for (address, why) in [
            ("169.254.169.254", "169.254.169.254 is a link-local address, where no probe may go"),
            ("fe80::1", "fe80::1 is a link-local address, where no probe may go"),
            ("::ffff:169.254.169.254", "::ffff:169.254.169.254 is a link-local address, where no probe may go"),
            ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe is a link-local address, where no probe may go"),
            ("168.63.129.16", "168.63.129.16 is the address of a metadata service, where no probe may go"),
            ("100.100.100.200", "100.100.100.200 is the address of a metadata service, where no probe may go"),
            ("fd00:ec2::254", "fd00:ec2::254 is the address of a metadata service, where no probe may go"),
            // To Linux the unspecified address is this machine.
            ("0.0.0.0", "0.0.0.0 is not a public address, where no probe may go"),
            ("::", ":: is not a public address, where no probe may go"),
            ("224.0.0.1", "224.0.0.1 is not a public address, where no probe may go"),
            ("255.255.255.255", "255.255.255.255 is not a public address, where no probe may go"),
        ] {
            assert_eq!(allowed(&reach, address).await, Err(why.to_owned()));
        }
    }
}

#[tokio::test]
async fn this_machine_is_reached_only_with_leave() {
    for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        assert!(allowed(&Reach::new(false), address).await.is_err(), "{address}");
        assert_eq!(allowed(&Reach::new(true), address).await, Ok(1), "{address}");
    }
}

#[tokio::test]
async fn a_name_is_dialled_at_those_of_its_addresses_that_are_allowed() {
    let reach = |answer: &[&str]| Reach::resolved_by(false, Answers::new(&[answer]));
    assert_eq!(allowed(&reach(&["169.254.169.254", "10.0.0.1", "127.0.0.1"]), "mixed.example").await, Ok(1));
    assert_eq!(
        allowed(&reach(&["127.0.0.1"]), "rebound.example").await,
        Err("rebound.example is a loopback address, where no probe may go".to_owned())
    );
    assert_eq!(allowed(&reach(&["10.0.0.1"; 100]), "many.example").await, Ok(8));
}
