//! Where a registry may send us, and what we show there.

use super::*;

fn to(location: &str) -> Reply {
    Reply::status(307).header("Location", location).body("<a href=elsewhere>moved</a>")
}

async fn latest(server: &Server) -> Result<Found, Error> {
    app(&client(), server, &ali()).manifest(Which::Tag("latest")).await
}

/// A registry that wants to know who we are and then sends us on.
async fn sends_to(location: String) -> Server {
    Server::new(move |got| match got.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => to(&location),
    })
    .await
}

#[tokio::test]
async fn a_redirection_to_another_host_is_followed_without_credentials() {
    for status in [301, 302, 303, 307, 308] {
        let other = Server::new(|_| Reply::ok("{}")).await;
        let location = format!("http://{}/signed?sig=secret", other.authority());
        let registry = Server::new(move |got| match got.header("authorization") {
            None => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
            Some(_) => Reply::status(status).header("Location", &location),
        })
        .await;
        assert_eq!(&*latest(&registry).await.unwrap().bytes, b"{}");
        assert_eq!(registry.got()[1].header("authorization"), Some(ALI));
        let got = &other.got()[0];
        assert_eq!(&*got.target, "/signed?sig=secret");
        assert_eq!((got.header("authorization"), got.header("cookie")), (None, None));
        assert_eq!(got.header("host"), Some(&*other.authority()));
    }
}

#[tokio::test]
async fn the_same_host_goes_on_seeing_them_and_another_name_of_it_does_not() {
    let registry = Server::new(|got| match (got.path(), got.header("authorization")) {
        ("/else", Some(_)) => Reply::ok("{}"),
        (_, None) => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        _ => to("/else#here"),
    })
    .await;
    latest(&registry).await.unwrap();
    assert_eq!(registry.asked()[2], "GET /else");
    let port = registry.port;
    let by_name = Server::new(move |got| match got.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => to(&format!("http://localhost:{port}/else")),
    })
    .await;
    let error = latest(&by_name).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(registry.got()[3].header("authorization"), None);
}

#[tokio::test]
async fn what_was_taken_away_does_not_come_back_on_the_way_home() {
    let back = Arc::new(std::sync::Mutex::new(String::new()));
    let home = Arc::clone(&back);
    let other = Server::new(move |_| to(&back.lock().unwrap())).await;
    let there = format!("http://{}/", other.authority());
    let registry = Server::new(move |got| match (got.path(), got.header("authorization")) {
        ("/home", _) => Reply::ok("{}"),
        (_, None) => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        _ => to(&there),
    })
    .await;
    *home.lock().unwrap() = format!("http://{}/home", registry.authority());
    latest(&registry).await.unwrap();
    assert_eq!(registry.got()[2].header("authorization"), None);
}

#[tokio::test]
async fn whoever_we_are_sent_to_cannot_ask_who_we_are() {
    for challenge in ["Basic realm=\"evil\"", "Bearer realm=\"https://evil.example/\""] {
        let evil =
            Server::new(move |_| Reply::status(401).header("WWW-Authenticate", challenge)).await;
        let registry = sends_to(format!("http://{}/", evil.authority())).await;
        let error = latest(&registry).await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        let shown: Vec<_> =
            evil.got().iter().map(|got| got.header("authorization").is_some()).collect();
        assert_eq!(shown, [false]);
    }
}

#[tokio::test]
async fn five_redirections_are_followed_and_not_six() {
    for (hops, good) in [(5, true), (6, false)] {
        let registry = Server::new(move |got| {
            let at: usize = got.path().strip_prefix("/hop/").map_or(0, |at| at.parse().unwrap());
            if at == hops { Reply::ok("{}") } else { to(&format!("/hop/{}", at + 1)) }
        })
        .await;
        let found = latest(&registry).await;
        assert_eq!(found.is_ok(), good);
        assert_eq!(registry.got().len(), 6);
        if let Err(error) = found {
            assert!(chain(&error).contains("the sixth time"), "{}", chain(&error));
        }
    }
}

#[tokio::test]
async fn nobody_sends_us_to_where_only_those_inside_should_reach() {
    for location in [
        "http://169.254.169.254/latest/meta-data/?sig=secret",
        "https://169.254.169.254/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        // Another way to write the first, for those who read addresses as C does.
        "http://0xa9fea9fe/",
    ] {
        let registry = sends_to(location.to_owned()).await;
        let error = latest(&registry).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("link-local address") && text.contains("may not send"), "{text}");
        assert!(!text.contains("sig") && !error.is_transient(), "{text}");
    }
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_that_it_stands_for() {
    let server = Server::new(|_| Reply::ok("{}")).await;
    let origin = Origin::parse(false, &format!("localhost:{}", server.port)).unwrap();
    let limit = Duration::from_secs(20);
    for (zone, good) in [(Zone::Loopback, true), (Zone::Private, false), (Zone::Public, false)] {
        let connected = connect::connect(&origin, Reach::From(zone), limit).await;
        match connected {
            Ok(_) => assert!(good, "{zone:?}"),
            Err(Failure::Forbidden { zone: "loopback", .. }) => assert!(!good, "{zone:?}"),
            Err(failure) => panic!("{failure:?}"),
        }
    }
    // Nor does a connection that somebody else opened help.
    let wire = &client().inner.asker.wire.clone();
    let (ask, url) = (wire::Ask::get(HeaderMap::new()), url::Url::new(origin, "/"));
    let answer = wire.send(&ask, &url, Reach::Anywhere).await.unwrap();
    answer.body.pass_over().await;
    let refused = wire.send(&ask, &url, Reach::From(Zone::Public)).await.unwrap_err();
    assert!(matches!(refused, Failure::Forbidden { .. }), "{refused:?}");
    wire.send(&ask, &url, Reach::From(Zone::Loopback)).await.unwrap();
    let connections: Vec<_> = server.got().iter().map(|got| got.connection).collect();
    let [one, other] = *connections else { panic!("{connections:?}") };
    assert_eq!(one, other, "the kept one is for those who may have it");
}

#[tokio::test]
async fn a_location_that_is_none_is_refused() {
    for location in [
        "",
        "elsewhere",
        "ftp://a.example/",
        "javascript:alert(1)",
        "http://user:word@a.example/",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://a example/",
        "http:///path",
        "/a b",
    ] {
        let registry = sends_to(location.to_owned()).await;
        let error = latest(&registry).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("redirects to nowhere: that is no address"), "{location}: {text}");
        assert!(!text.contains("word"), "{text}");
    }
    let none = Server::new(|_| Reply::status(302)).await;
    assert!(chain(&latest(&none).await.unwrap_err()).contains("redirects to nowhere"));
}

#[tokio::test]
async fn a_blob_is_followed_to_where_it_is_and_asked_for_in_parts_there() {
    let storage = Server::new(|got| match got.header("range") {
        None => Reply::ok(bytes(100_000)).cut(70_000),
        Some("bytes=70000-") => Reply::status(206)
            .header("Content-Range", "bytes 70000-99999/100000")
            .body(&bytes(100_000)[70_000..]),
        Some(other) => panic!("{other}"),
    })
    .await;
    let registry = sends_to(format!("http://{}/b?sig=secret", storage.authority())).await;
    let repository = app(&client(), &registry, &ali());
    let digest = Digest::sha256(b"");
    assert!(whole(&repository, &digest, 100_000).await.unwrap() == bytes(100_000));
    assert!(storage.got().iter().all(|got| got.header("authorization").is_none()));
}

#[test]
fn tls_is_never_left_by_a_redirection() {
    // The whole way is in `of_tls`; here, what an address is.
    let url: url::Url = "https://a.example/b".parse().unwrap();
    assert!(url.join("//b.example/c").unwrap().origin.tls);
    assert!(url.join("/c?d#e").unwrap().target == "/c?d");
    assert!(!url.join("HTTP://a.example").unwrap().origin.tls);
    assert_eq!(
        format!("{url} {:?}", url.join("/c?sig=d").unwrap()),
        "https://a.example/b https://a.example/c"
    );
}
