//! Which addresses are dialled, and how many look-ups run.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::poll;

use super::*;

struct Fixed(Vec<IpAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

fn connector(url: &str, private: bool, answers: &[&str]) -> Connector {
    let answers = answers.iter().map(|address| address.parse().unwrap()).collect();
    let grant = Grant { private_addresses: private, ..Grant::new(Target::base(url).unwrap()) };
    Connector::new(&grant, Arc::new(Fixed(answers)))
}

async fn allowed(connector: &Connector, host: &str) -> Result<usize, Class> {
    match connector.addresses(host).await {
        Ok(addresses) => Ok(addresses.len()),
        Err(ConnectError::Forbidden { class, .. }) => Err(class),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_name_leads_to_public_addresses_unless_private_ones_are_granted() {
    let url = "https://backend.example.com";
    assert_eq!(allowed(&connector(url, false, &["1.1.1.1"]), "backend.example.com").await, Ok(1));
    assert_eq!(allowed(&connector(url, false, &["10.0.0.1"]), "backend.example.com").await, Err(Class::Private));
    assert_eq!(allowed(&connector(url, true, &["10.0.0.1", "127.0.0.1"]), "backend.example.com").await, Ok(2));
    for metadata in ["169.254.169.254", "fe80::1", "fd00:ec2::254", "168.63.129.16", "::ffff:169.254.169.254"] {
        assert!(allowed(&connector(url, true, &[metadata]), "backend.example.com").await.is_err(), "{metadata}");
    }
}

#[tokio::test]
async fn of_a_mixed_answer_only_the_allowed_addresses_are_dialled() {
    let mixed = connector("https://backend.example.com", false, &["127.0.0.1", "1.1.1.1", "::1"]);
    assert_eq!(allowed(&mixed, "backend.example.com").await, Ok(1));
}

#[tokio::test]
async fn an_address_that_the_operator_wrote_is_granted_as_written() {
    let literal = connector("http://127.0.0.1:8080", false, &[]);
    assert_eq!(allowed(&literal, "127.0.0.1").await, Ok(1));
    assert_eq!(allowed(&literal, "127.0.0.2").await, Err(Class::Loopback));
    assert_eq!(allowed(&literal, "1.1.1.1").await, Err(Class::Special));
    let localhost = connector("http://localhost:8080", false, &["127.0.0.1"]);
    assert_eq!(allowed(&localhost, "localhost").await, Ok(1));
    let hijacked = connector("http://localhost:8080", false, &["1.1.1.1"]);
    assert_eq!(allowed(&hijacked, "localhost").await, Err(Class::Special));
}

#[tokio::test]
async fn look_ups_that_were_given_up_still_count_until_they_end() {
    let started = Arc::new(AtomicUsize::new(0));
    let resolver = SystemResolver::default();
    let mut gates = Vec::new();
    let look_up = |gate: std::sync::mpsc::Receiver<()>| {
        let started = Arc::clone(&started);
        SystemResolver::run(Arc::clone(&resolver.places), move || {
            started.fetch_add(1, Ordering::SeqCst);
            // Until the other end is dropped.
            let _ = gate.recv();
            Ok(())
        })
    };
    for _ in 0..100 {
        let (open, gate) = std::sync::mpsc::channel();
        gates.push(open);
        assert!(poll!(Box::pin(look_up(gate))).is_pending());
    }
    let (open, gate) = std::sync::mpsc::channel();
    gates.push(open);
    drop(gates);
    look_up(gate).await.unwrap();
    assert_eq!(started.load(Ordering::SeqCst), LOOK_UPS + 1);
}
