//! Backends that show a request back: the credential that the host added does not get out.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderName, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use pluglet_credentials::Auth;
use pluglet_egress::{Egress, Grant};

use crate::bodies::{Pieces, whole};
use crate::servers::Server;
use crate::support::{Files, denied, egress, fetch, grant, header, request, text, with_header};
use crate::tls::Authority;

pub(crate) const TOKEN: &str = "tok-hunter2-abcdefghij";

pub(crate) fn bearer(files: &Files) -> Auth {
    Auth::Bearer { token_file: files.write("token", TOKEN) }
}

/// All that the request said of itself, in the status line's neighbours, in the body and in the trailers; the body cut at each position.
fn mirror() -> Router {
    Router::new().fallback(async |request: Request| {
        let all: String =
            request.headers().iter().map(|(name, value)| format!("{name}: {}; ", value.to_str().unwrap())).collect();
        let authorization = request.headers().get("authorization").or_else(|| request.headers().get("x-api-key"));
        let secret = authorization.unwrap().clone();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-late", secret.clone());
        let letters: Vec<_> = all.bytes().map(|byte| Frame::data(Bytes::copy_from_slice(&[byte]))).collect();
        let frames = letters.into_iter().chain([Frame::trailers(trailers)]).map(Ok::<_, std::convert::Infallible>);
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let named = secret.to_str().unwrap().rsplit(' ').next().unwrap().to_lowercase();
        let mut response = Response::builder()
            .header("trailer", "x-late")
            .header("x-length", all.len())
            .header("x-echo", all)
            .header("x-authorization", secret);
        if let Ok(name) = HeaderName::try_from(named) {
            response = response.header(name, "as a name");
        }
        response.body(body).unwrap()
    })
}

/// A mirror in each version of HTTP.
async fn mirrors(files: &Files) -> Vec<(Server, Grant)> {
    let authority = Authority::new();
    let (plain, tls) = (Server::web(mirror()).await, Server::tls(mirror(), authority.server("127.0.0.1")).await);
    let to_plain = grant(&plain.url());
    let to_tls = Grant { tls: authority.trusted(files), ..grant(&format!("https://{}", tls.address)) };
    vec![(plain, to_plain), (tls, to_tls)]
}

/// Asks a mirror with `fetch` and `send` and finds none of the secrets, but everything else.
async fn shows_nothing(egress: &Egress, secrets: &[&str]) {
    let clean = |what: &str, text: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    };
    let answer = fetch(egress, request("GET", "/")).await.unwrap();
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains("accept-encoding: identity"), "{body}");
    assert!(body.contains("****") && header(&answer.headers, "x-authorization").unwrap().contains("****"));
    assert_eq!(header(&answer.headers, "x-length").unwrap(), body.len().to_string());
    clean("fetch", &format!("{body} {:?}", answer.headers));

    let mut answer = egress.send(request("POST", "/"), Pieces::of(&["x"])).await.unwrap();
    let (bytes, trailers) = whole(&mut answer.body).await;
    assert_eq!(header(&answer.headers, "x-length").unwrap(), bytes.len().to_string());
    let trailers = trailers.unwrap();
    assert!(header(&trailers, "x-late").unwrap().contains("****"), "{trailers:?}");
    clean("send", &format!("{} {:?} {trailers:?}", String::from_utf8(bytes).unwrap(), answer.headers));
}

#[tokio::test]
async fn a_token_that_a_backend_shows_back_is_masked_in_headers_body_and_trailers() {
    let files = Files::new();
    for (_server, grant) in mirrors(&files).await {
        let egress = egress(Grant { auth: Some(bearer(&files)), ..grant });
        shows_nothing(&egress, &[TOKEN]).await;
    }
}

#[tokio::test]
async fn a_password_is_masked_in_both_of_its_forms() {
    let files = Files::new();
    let auth = Auth::Basic { username: "me".to_owned(), password_file: files.write("password", "pw-hunter2") };
    for (_server, grant) in mirrors(&files).await {
        let egress = egress(Grant { auth: Some(auth.clone()), ..grant });
        // base64 of me:pw-hunter2
        shows_nothing(&egress, &["bWU6cHctaHVudGVyMg==", "pw-hunter2"]).await;
    }
    let decoded = Server::web(Router::new().fallback(async || "you are me:pw-hunter2")).await;
    let egress = egress(Grant { auth: Some(auth), ..grant(&decoded.url()) });
    assert_eq!(text(&egress, "/").await, "you are me:**********");
}

/// Each cut, with a real connection in between: what was held back must come in the end.
#[tokio::test]
async fn a_secret_is_masked_wherever_the_stream_is_cut() {
    let server = Server::raw(|mut talk| async move {
        loop {
            let head = talk.head().await?;
            let at: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            let body = format!("<{TOKEN}|{}>", TOKEN.split_at(TOKEN.len() / 2).0);
            let (first, second) = body.split_at(at);
            talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
                talk.say(format!("{:x}\r\n{piece}\r\n", piece.len())).await?;
                // So that it is read by itself.
                tokio::task::yield_now().await;
            }
            talk.say("0\r\n\r\n").await?;
        }
    })
    .await;
    let files = Files::new();
    let egress = egress(Grant { auth: Some(bearer(&files)), ..grant(&server.url()) });
    let (stars, half) = ("*".repeat(TOKEN.len()), TOKEN.split_at(TOKEN.len() / 2).0);
    for at in 0..=TOKEN.len() + half.len() + 3 {
        let mut answer = egress.send(request("GET", &format!("/{at}")), Pieces::default()).await.unwrap();
        let (bytes, end) = whole(&mut answer.body).await;
        end.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("<{stars}|{half}>"), "cut at {at}");
    }
}

#[tokio::test]
async fn who_says_who_asks_is_decided_by_the_grant() {
    let files = Files::new();
    let (with, without) = (Server::web(mirror()).await, Server::web(mirror()).await);
    let mine = with_header(request("GET", "/"), "Authorization", "Bearer mine");
    let owned = egress(Grant { auth: Some(bearer(&files)), ..grant(&with.url()) });
    denied(&owned, mine.clone()).await;
    assert_eq!(with.connections(), 0);
    let answer = fetch(&egress(grant(&without.url())), mine).await.unwrap();
    assert_eq!(header(&answer.headers, "x-authorization"), Some("Bearer mine"));
    let key =
        Auth::Header { name: HeaderName::from_static("x-api-key"), value_file: files.write("key", "key-hunter2") };
    let keyed = egress(Grant { auth: Some(key), ..grant(&with.url()) });
    // The last two say that it is somebody else, and ask for half of an answer, of which nobody would recognise half a secret.
    for name in ["X-Api-Key", "x_api_key", "Impersonate-User", "Range"] {
        denied(&keyed, with_header(request("GET", "/"), name, "mine")).await;
    }
}

#[tokio::test]
async fn sessions_made_from_the_hosts_credential_are_not_handed_out() {
    let said = "HTTP/1.1 200 OK\r\nset-cookie: session=1\r\nwww-authenticate: Bearer\r\nauthentication-info: x\r\n\
                x-kept: 1\r\ncontent-length: 0\r\n\r\n";
    let (server, files) = (Server::saying(said).await, Files::new());
    let names = async |grant: Grant| {
        let answer = fetch(&egress(grant), request("GET", "/")).await.unwrap();
        let mut names: Vec<String> = answer.headers.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let plain = grant(&server.url());
    assert_eq!(names(plain.clone()).await, "authentication-info content-length set-cookie www-authenticate x-kept");
    assert_eq!(names(Grant { auth: Some(bearer(&files)), ..plain }).await, "content-length x-kept");
}

#[tokio::test]
async fn an_encoding_that_would_hide_the_credential_is_not_asked_for() {
    let files = Files::new();
    let router = Router::new().fallback(async |request: Request| {
        request
            .headers()
            .get_all("accept-encoding")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(",")
    });
    let server = Server::web(router).await;
    let zipped = with_header(request("GET", "/"), "Accept-Encoding", "gzip, br");
    let without = egress(grant(&server.url()));
    assert_eq!(fetch(&without, zipped.clone()).await.unwrap().body, b"gzip, br");
    let with = egress(Grant { auth: Some(bearer(&files)), ..grant(&server.url()) });
    assert_eq!(fetch(&with, zipped).await.unwrap().body, b"identity");
}
