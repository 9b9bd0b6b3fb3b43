//! Blobs: they come whole whatever happens on the way, or not at all.

use super::*;

const SIZE: usize = 400_000;

fn digest() -> Digest {
    Digest::sha256(b"the blob's name: its bytes are the reader's to check")
}

/// A registry that has the blob; what `answer` does not answer, it does, ranges included.
async fn registry(answer: impl Fn(&Got, u64) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::new(move |got| {
        let first = first(got);
        answer(got, first).unwrap_or_else(|| from(first))
    })
    .await
}

/// From which byte on the request wants it.
fn first(got: &Got) -> u64 {
    let range = got.header("range").map(|range| range.strip_prefix("bytes=").unwrap());
    range.map_or(0, |range| range.strip_suffix('-').unwrap().parse().unwrap())
}

fn from(first: u64) -> Reply {
    let range = format!("bytes {first}-{}/{SIZE}", SIZE - 1);
    match first {
        0 => Reply::ok(bytes(SIZE)),
        _ => {
            Reply::status(206).header("Content-Range", &range).body(&bytes(SIZE)[first as usize..])
        }
    }
}

async fn pulled(server: &Server) -> Result<Vec<u8>, Error> {
    whole(&app(&client(), server, &Credentials::Anonymous), &digest(), SIZE as u64).await
}

fn firsts(server: &Server) -> Vec<u64> {
    server.got().iter().map(first).collect()
}

#[tokio::test]
async fn a_blob_comes_whole_in_one_piece() {
    let server = registry(|_, _| None).await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(server.asked(), [format!("GET /v2/app/blobs/{}", digest())]);
    assert_eq!(server.got()[0].header("range"), None);
}

#[tokio::test]
async fn a_blob_goes_on_where_it_was_cut() {
    let server = registry(|_, first| match first {
        0 => Some(from(0).cut(100_000)),
        100_000 => Some(from(first).cut(1)),
        _ => None,
    })
    .await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(firsts(&server), [0, 100_000, 100_001]);
}

#[tokio::test]
async fn a_blob_whose_length_nobody_tells_is_counted() {
    let head = "HTTP/1.1 200 OK\r\n";
    let all = bytes(SIZE);
    let (one, two) = all.split_at(300_000);
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let chunked = [
        format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
        &chunk(one),
        &chunk(two),
        b"0\r\n\r\n",
    ]
    .concat();
    let closed = [format!("{head}\r\n").as_bytes(), &all[..]].concat();
    for reply in [Reply::raw(chunked), Reply::raw(closed)] {
        let server = Server::new(move |_| reply.clone()).await;
        assert!(pulled(&server).await.unwrap() == bytes(SIZE));
        assert_eq!(server.got().len(), 1);
    }
    let short = [format!("{head}\r\n").as_bytes(), one].concat();
    let server = registry(move |_, first| (first == 0).then(|| Reply::raw(short.clone()))).await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(firsts(&server), [0, 300_000]);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_again_what_is_there_and_that_is_passed_over() {
    let server = Server::new(|got| match got.connection {
        0 => from(0).cut(200_000),
        _ => from(0),
    })
    .await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(firsts(&server), [0, 200_000]);
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_refused() {
    for range in [
        "bytes 199999-399999/400000",
        "bytes 200001-399999/400000",
        "bytes 200000-400000/400001",
        "bytes 200000-399999/400001",
        "bytes 0-399999/400000",
        "bytes */400000",
        "200000-399999/400000",
        "",
    ] {
        let server = Server::new(move |got| match got.connection {
            0 => from(0).cut(200_000),
            _ => Reply::status(206).header("Content-Range", range).body(&bytes(SIZE)[200_000..]),
        })
        .await;
        let error = pulled(&server).await.unwrap_err();
        let wanted = "another part than from byte 200000 of 400000 on";
        assert!(chain(&error).contains(wanted), "{range}: {}", chain(&error));
        assert_eq!(server.got().len(), 2);
    }
}

#[tokio::test]
async fn a_part_is_refused_where_none_was_asked_for() {
    let range = format!("bytes 0-{}/{SIZE}", SIZE - 1);
    let server =
        Server::new(move |_| Reply::status(206).header("Content-Range", &range).body(bytes(SIZE)))
            .await;
    let error = pulled(&server).await.unwrap_err();
    assert!(chain(&error).contains("another part than from byte 0"), "{}", chain(&error));
}

#[tokio::test]
async fn a_shorter_range_is_taken_and_the_rest_asked_for() {
    let server = registry(|_, first| match first {
        0 => Some(from(0).cut(100_000)),
        100_000 => Some(
            Reply::status(206)
                .header("Content-Range", "bytes 100000-299999/400000")
                .body(&bytes(SIZE)[100_000..300_000]),
        ),
        _ => None,
    })
    .await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(firsts(&server), [0, 100_000, 300_000]);
}

#[tokio::test]
async fn a_length_that_is_not_the_promised_one_is_refused_at_once() {
    for length in [SIZE - 1, SIZE + 1, 0] {
        let server = Server::new(move |_| Reply::ok(bytes(length))).await;
        let repository = app(&client(), &server, &Credentials::Anonymous);
        let error = repository.blob(&digest(), SIZE as u64).await.unwrap_err();
        let wanted = format!("{length} bytes where 400000 were promised");
        assert!(chain(&error).contains(&wanted), "{}", chain(&error));
        assert_eq!((server.got().len(), error.is_transient()), (1, false));
    }
}

#[tokio::test]
async fn more_bytes_than_were_promised_never_come() {
    let mut all = bytes(SIZE + 5);
    all.splice(0..0, *b"HTTP/1.1 200 OK\r\n\r\n");
    let server = Server::new(move |_| Reply::raw(all.clone())).await;
    let repository = app(&client(), &server, &Credentials::Anonymous);
    let mut blob = repository.blob(&digest(), SIZE as u64).await.unwrap();
    let mut come = 0;
    let error = loop {
        match blob.next().await {
            Ok(bytes) => come += bytes.expect("an end is no error").len(),
            Err(error) => break error,
        }
    };
    assert!(come <= SIZE);
    assert!(chain(&error).contains("more than the 400000 bytes"), "{}", chain(&error));
}

#[tokio::test]
async fn a_blob_that_never_moves_is_given_up_after_five_cuts() {
    let server = registry(|_, first| Some(from(first).cut(10))).await;
    let error = pulled(&server).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(firsts(&server), [0, 10, 20, 30, 40, 50]);
}

#[tokio::test]
async fn a_blob_that_moves_is_cut_as_often_as_it_pleases() {
    let server = registry(|_, first| Some(from(first).cut(66_000))).await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    assert_eq!(firsts(&server).len(), 7);
}

#[tokio::test]
async fn a_stall_is_a_cut() {
    let server = registry(|_, first| (first == 0).then(|| from(0).stall(5000))).await;
    let mut settings = settings();
    settings.timeouts.stall = Duration::from_millis(300);
    let client = Client::new(settings).unwrap();
    let repository = app(&client, &server, &Credentials::Anonymous);
    assert!(whole(&repository, &digest(), SIZE as u64).await.unwrap() == bytes(SIZE));
    // A machine that is very busy may stall once more.
    assert_eq!(firsts(&server)[..2], [0, 5000]);
}

#[tokio::test]
async fn trouble_of_the_registry_in_the_middle_is_survived_and_a_refusal_is_not() {
    let server = Server::new(|got| match got.connection {
        0 => from(0).cut(200_000),
        1 => Reply::status(500).cut(0),
        _ => from(first(got)),
    })
    .await;
    assert!(pulled(&server).await.unwrap() == bytes(SIZE));
    for status in [403, 404, 410, 429] {
        let server = Server::new(move |got| match got.connection {
            0 => from(0).cut(200_000),
            _ => Reply::status(status),
        })
        .await;
        assert_eq!(pulled(&server).await.unwrap_err().status(), Some(status));
        assert_eq!(server.got().len(), 2);
    }
}

#[tokio::test]
async fn an_empty_blob_is_asked_for_and_comes() {
    let server = Server::new(|_| Reply::ok("")).await;
    let repository = app(&client(), &server, &Credentials::Anonymous);
    assert_eq!(whole(&repository, &digest(), 0).await.unwrap(), b"");
    let none = Server::new(|_| Reply::status(404)).await;
    let repository = app(&client(), &none, &Credentials::Anonymous);
    assert_eq!(repository.blob(&digest(), 0).await.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn a_blob_that_a_mirror_drops_is_finished_by_the_registry() {
    let (mirror, server) =
        (registry(|_, _| Some(from(0).cut(9))).await, registry(|_, _| None).await);
    let mut settings = settings();
    let mirrors = vec![format!("http://{}", mirror.authority()).parse().unwrap()];
    let own = RegistrySettings { mirrors, ..RegistrySettings::default() };
    settings.registries.insert(server.authority(), own);
    let client = Client::new(settings).unwrap();
    let repository = app(&client, &server, &Credentials::Anonymous);
    assert!(whole(&repository, &digest(), SIZE as u64).await.unwrap() == bytes(SIZE));
    assert_eq!((firsts(&mirror), firsts(&server)), (vec![0], vec![9]));
}

#[tokio::test]
async fn a_future_that_is_dropped_costs_no_bytes() {
    let server = registry(|_, first| match first {
        0 => Some(from(0).stall(1000)),
        _ => None,
    })
    .await;
    let mut settings = settings();
    settings.timeouts.stall = Duration::from_millis(300);
    let client = Client::new(settings).unwrap();
    let repository = app(&client, &server, &Credentials::Anonymous);
    let mut blob = repository.blob(&digest(), SIZE as u64).await.unwrap();
    let (mut all, mut patience) = (Vec::new(), Duration::from_millis(5));
    loop {
        // Dropped again and again, also in the middle of a new connection.
        match tokio::time::timeout(patience, blob.next()).await {
            Err(_) => patience += Duration::from_millis(1),
            Ok(Ok(Some(bytes))) => all.extend_from_slice(&bytes),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => panic!("{error:?}"),
        }
    }
    assert!(all == bytes(SIZE));
}
