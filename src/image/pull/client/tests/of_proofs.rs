//! Who we say we are, to whom, and what we show.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn challenge(text: &str) -> Reply {
    Reply::status(401).header("WWW-Authenticate", text)
}

/// A registry with its tokens on the same host: a token is `token-N`, and those in `good` are taken.
async fn with_tokens(lives: &'static str, good: fn(&str) -> bool) -> Server {
    let given = AtomicUsize::new(0);
    Server::new(move |got| {
        let host = got.header("host").unwrap();
        if got.path() == "/token" {
            let number = given.fetch_add(1, Ordering::SeqCst);
            return Reply::ok(format!(r#"{{"token":"token-{number}"{lives}}}"#));
        }
        match got.header("authorization").and_then(|shown| shown.strip_prefix("Bearer ")) {
            Some(token) if good(token) => Reply::ok("{}"),
            _ => challenge(&format!(
                "Bearer realm=\"http://{host}/token\",service=\"the registry\",scope=\"repository:app:pull\""
            )),
        }
    })
    .await
}

async fn latest(server: &Server, credentials: &Credentials) -> Result<Found, Error> {
    app(&client(), server, credentials).manifest(Which::Tag("latest")).await
}

fn shown(server: &Server) -> Vec<String> {
    let of = |got: &Got| got.header("authorization").unwrap_or("-").to_owned();
    server.got().iter().map(of).collect()
}

#[tokio::test]
async fn a_password_is_shown_when_it_is_asked_for_and_remembered() {
    let server = Server::new(|got| match got.header("authorization") {
        Some(ALI) => Reply::ok("{}"),
        _ => challenge("Basic realm=\"r\""),
    })
    .await;
    let repository = app(&client(), &server, &ali());
    for _ in 0..2 {
        repository.manifest(Which::Tag("latest")).await.unwrap();
    }
    assert_eq!(shown(&server), ["-", ALI, ALI]);
    assert_eq!(latest(&server, &Credentials::Anonymous).await.unwrap_err().status(), Some(401));
}

#[tokio::test]
async fn a_token_is_had_with_the_password_and_used_until_its_end() {
    let server = with_tokens(r#","expires_in":300"#, |_| true).await;
    let client = client();
    for credentials in [ali(), ali(), Credentials::Anonymous] {
        let repository = app(&client, &server, &credentials);
        repository.manifest(Which::Tag("latest")).await.unwrap();
    }
    let with =
        "/token?client_id=hotcell&account=ali&service=the%20registry&scope=repository%3Aapp%3Apull";
    let without = "/token?client_id=hotcell&service=the%20registry&scope=repository%3Aapp%3Apull";
    let asked: Vec<_> = server.got().into_iter().map(|got| got.target).collect();
    let manifest = "/v2/app/manifests/latest";
    assert_eq!(asked, [manifest, with, manifest, manifest, manifest, without, manifest]);
    let (first, second) = ("Bearer token-0", "Bearer token-1");
    assert_eq!(shown(&server), ["-", ALI, first, first, "-", "-", second]);
}

#[tokio::test]
async fn a_token_is_for_its_repository_alone() {
    let server = with_tokens(r#","expires_in":300"#, |_| true).await;
    let client = client();
    app(&client, &server, &ali()).manifest(Which::Tag("latest")).await.unwrap();
    let other = format!("{}/other", server.authority()).parse().unwrap();
    client.repository(&other, &ali()).manifest(Which::Tag("latest")).await.unwrap();
    assert_eq!(shown(&server)[3..], ["-", ALI, "Bearer token-1"]);
}

#[tokio::test]
async fn a_token_past_its_end_is_not_shown() {
    let server = with_tokens(r#","expires_in":1"#, |_| true).await;
    let repository = app(&client(), &server, &ali());
    for _ in 0..2 {
        repository.manifest(Which::Tag("latest")).await.unwrap();
    }
    let tokens = ["-", ALI, "Bearer token-0", "-", ALI, "Bearer token-1"];
    assert_eq!(shown(&server), tokens);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_no_more() {
    let server = with_tokens(r#","expires_in":300"#, |token| token != "token-0").await;
    let client = client();
    let repository = app(&client, &server, &ali());
    let error = repository.manifest(Which::Tag("latest")).await.unwrap_err();
    assert_eq!((error.status(), server.got().len()), (Some(401), 3));
    repository.manifest(Which::Tag("latest")).await.unwrap();
    assert_eq!(shown(&server)[3..], ["Bearer token-0", ALI, "Bearer token-1"]);

    let never = with_tokens("", |_| false).await;
    let error = latest(&never, &ali()).await.unwrap_err();
    assert_eq!((error.status(), never.got().len()), (Some(401), 3));
}

#[tokio::test]
async fn many_who_need_the_same_token_ask_for_one() {
    let server = with_tokens(r#","expires_in":300"#, |_| true).await;
    let repository = app(&client(), &server, &ali());
    let all = (0..8).map(|_| {
        let repository = repository.clone();
        tokio::spawn(async move { repository.manifest(Which::Tag("latest")).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    let tokens = server.got().iter().filter(|got| got.path() == "/token").count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn an_identity_token_is_changed_for_a_token() {
    let server = Server::new(|got| match (got.path(), got.header("authorization")) {
        ("/token", None) => Reply::ok(r#"{"access_token":"fresh","expires_in":300}"#),
        (_, Some("Bearer fresh")) => Reply::ok("{}"),
        _ => challenge(&format!(
            "Bearer realm=\"http://{}/token\",service=s",
            got.header("host").unwrap()
        )),
    })
    .await;
    latest(&server, &Credentials::IdentityToken(Secret::new("a/b+c="))).await.unwrap();
    let got = &server.got()[1];
    assert_eq!((&*got.method, &*got.target), ("POST", "/token"));
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        got.body,
        "grant_type=refresh_token&client_id=hotcell&refresh_token=a%2Fb%2Bc%3D&service=s\
         &scope=repository%3Aapp%3Apull"
    );
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is_and_nothing_else_is_tried() {
    let token = Credentials::RegistryToken(Secret::new("given"));
    let server = with_tokens("", |token| token == "given").await;
    latest(&server, &token).await.unwrap();
    assert_eq!(shown(&server), ["Bearer given"]);
    let server = with_tokens("", |_| false).await;
    assert_eq!(latest(&server, &token).await.unwrap_err().status(), Some(401));
    assert_eq!(shown(&server), ["Bearer given"]);
}

#[tokio::test]
async fn no_realm_gets_credentials_over_plain_http_or_from_inside() {
    let evil = Server::new(|_| Reply::ok(r#"{"token":"t"}"#)).await;
    for (realm, wanted) in [
        // Another host, without TLS: another name of the same one is another host.
        (format!("http://localhost:{}/token?sig=secret", evil.port), "does not speak TLS"),
        ("http://evil.example/token".to_owned(), "does not speak TLS"),
        ("https://169.254.169.254/token".to_owned(), "link-local address"),
        ("https://[fe80::1]/token".to_owned(), "link-local address"),
        (format!("http://ali@127.0.0.1:{}/token", evil.port), "has a user in it"),
        ("ftp://127.0.0.1/token".to_owned(), "starts with neither"),
        (String::new(), "starts with neither"),
    ] {
        let text = format!("Bearer realm=\"{realm}\",service=s");
        let server = Server::new(move |_| challenge(&text)).await;
        for credentials in [ali(), Credentials::IdentityToken(Secret::new("sesame"))] {
            let error = latest(&server, &credentials).await.unwrap_err();
            let text = chain(&error);
            assert!(text.contains(wanted), "{realm}: {text}");
            assert!(!text.contains("sig") && !text.contains("sesame"), "{text}");
        }
    }
    assert_eq!(evil.got().len(), 0);
}

#[tokio::test]
async fn another_port_of_a_plain_registry_may_give_its_tokens() {
    let tokens = Server::new(|_| Reply::ok(r#"{"token":"t"}"#)).await;
    let text = format!("Bearer realm=\"http://{}/\"", tokens.authority());
    let server = Server::new(move |got| match got.header("authorization") {
        Some("Bearer t") => Reply::ok("{}"),
        _ => challenge(&text),
    })
    .await;
    latest(&server, &ali()).await.unwrap();
    assert_eq!(
        tokens.got()[0].target,
        "/?client_id=hotcell&account=ali&scope=repository%3Aapp%3Apull"
    );
}

#[tokio::test]
async fn who_gives_tokens_sends_nobody_elsewhere() {
    let evil = Server::new(|_| Reply::ok(r#"{"token":"t"}"#)).await;
    let location = format!("http://{}/", evil.authority());
    let server = Server::new(move |got| match got.path() {
        "/token" => Reply::status(307).header("Location", &location),
        _ => challenge(&format!("Bearer realm=\"http://{}/token\"", got.header("host").unwrap())),
    })
    .await;
    for credentials in [ali(), Credentials::IdentityToken(Secret::new("sesame"))] {
        let error = latest(&server, &credentials).await.unwrap_err();
        assert!(chain(&error).contains("must do so itself"), "{}", chain(&error));
    }
    assert_eq!(evil.got().len(), 0);
}

#[tokio::test]
async fn an_answer_without_a_usable_token_is_told_without_it() {
    let long = format!(r#"{{"token":"{}"}}"#, "t".repeat(2 << 20));
    for (reply, wanted) in [
        (Reply::ok("{}"), "no token"),
        (Reply::ok(r#"{"token":""}"#), "no token"),
        (Reply::ok(r#"{"token":5,"secret":"hush"}"#), "no JSON with a token"),
        (Reply::ok("hush"), "no JSON with a token"),
        (Reply::ok(r#"{"token":"hush\r\nX-Evil: 1"}"#), "a token that is none"),
        (Reply::ok(long), "a token of more than 1048576 bytes"),
        (Reply::status(403).body(r#"{"details":"sesame is wrong"}"#), "answered 403"),
        (Reply::status(401).body(r#"{"details":"incorrect password"}"#), "\"incorrect password\""),
    ] {
        let server = Server::new(move |got| match got.path() {
            "/token" => reply.clone(),
            _ => {
                challenge(&format!("Bearer realm=\"http://{}/token\"", got.header("host").unwrap()))
            }
        })
        .await;
        let error = latest(&server, &ali()).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("no token from http://127.0.0.1"), "{text}");
        assert!(
            text.contains(wanted) && !text.contains("hush") && !text.contains("sesame"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn challenges_that_cannot_be_met_are_told() {
    let identity = || Credentials::IdentityToken(Secret::new("sesame"));
    let colon = Credentials::Basic { username: "a:b".to_owned(), password: Secret::new("sesame") };
    for (text, credentials, wanted) in [
        ("Negotiate", ali(), "of a kind that is not known here"),
        ("Basic realm=\"r\"", identity(), "there is only an identity token"),
        ("Basic realm=\"r\"", colon, "has a colon"),
        ("Bearer realm=\"r", ali(), "with a quote that does not end"),
        ("Bearer service=s", ali(), "at a realm that"),
    ] {
        let server = Server::new(move |_| challenge(text)).await;
        let error = latest(&server, &credentials).await.unwrap_err();
        assert!(chain(&error).contains(wanted), "{text}: {}", chain(&error));
        assert_eq!(server.got().len(), 1);
    }
    let silent = Server::new(|_| Reply::status(401)).await;
    assert_eq!(latest(&silent, &ali()).await.unwrap_err().status(), Some(401));
}

#[tokio::test]
async fn credentials_are_checked_at_the_registrys_door() {
    let server = Server::new(|got| match (got.path(), got.header("authorization")) {
        ("/v2/", Some(ALI)) => Reply::ok("{}"),
        _ => challenge("Basic realm=\"r\""),
    })
    .await;
    let client = client();
    client.check(&server.authority(), &ali()).await.unwrap();
    let wrong = Credentials::Basic { username: "ali".to_owned(), password: Secret::new("word") };
    let error = client.check(&server.authority(), &wrong).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    let wanted = format!("the registry {} did not give access", server.authority());
    assert!(chain(&error).starts_with(&wanted), "{}", chain(&error));
    let error = client.check("https://a.example", &ali()).await.unwrap_err();
    let wanted = "the name https://a.example was not found: it has no";
    assert!(chain(&error).contains(wanted) && !error.is_transient(), "{}", chain(&error));
}

#[tokio::test]
async fn nothing_secret_is_shown_by_debugging() {
    let server = with_tokens(r#","expires_in":300"#, |_| true).await;
    let client = client();
    let repository = app(&client, &server, &ali());
    repository.manifest(Which::Tag("latest")).await.unwrap();
    let blob = repository.blob(&Digest::sha256(b""), 2).await.unwrap();
    let endpoint: Endpoint = "https://m.example".parse().unwrap();
    let endpoint = endpoint.with_credentials(ali());
    let inner = (&client.inner.asker, &client.inner.registries);
    let text = format!("{client:?} {repository:?} {blob:?} {endpoint:?} {inner:?}");
    assert!(
        !text.contains("sesame") && !text.contains("token-0") && !text.contains("YWxp"),
        "{text}"
    );
}
