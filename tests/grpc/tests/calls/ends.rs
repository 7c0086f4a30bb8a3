//! Ends of calls other than success: requested statuses, deadlines, cancellation, and malformed messages.

use std::time::{Duration, Instant};

use windlass_grpc::{
    messages::{
        EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingOutputCallRequest, StreamingOutputCallResponse,
    },
    wire::{Code, MESSAGE_BYTES},
};

use crate::client::{Client, Fixture, on_shards_and_pool, until_running};

/// The text of gRPC's own test, and its percent-encoded form.
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";
const SPECIAL_ESCAPED: &str =
    "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A";

const UNKNOWN: u32 = 2;

fn delayed_response(wait: Duration) -> StreamingOutputCallRequest {
    let interval_us = wait.as_micros().try_into().unwrap();
    let response_parameters = vec![ResponseParameters { size: 1, interval_us }];
    StreamingOutputCallRequest { response_parameters, ..StreamingOutputCallRequest::default() }
}

#[test]
fn a_requested_status_arrives_with_its_escaped_message() {
    on_shards_and_pool(async |Fixture { mut client, .. }| {
        for (text, escaped) in [("test status message", "test status message"), (SPECIAL, SPECIAL_ESCAPED)] {
            let status = Some(EchoStatus { code: 2, message: text.to_owned() });
            let request = SimpleRequest { response_status: status.clone(), ..SimpleRequest::default() };
            let end = client.unary("UnaryCall", &[], &request).await.end().await;
            assert_eq!((end.code, end.message.as_str()), (UNKNOWN, escaped));
            let mut calling = client.call("FullDuplexCall", &[]).await;
            calling.send(&StreamingOutputCallRequest {
                response_status: status,
                ..delayed_response(Duration::ZERO)
            });
            let end = calling.answer().await.end().await;
            assert_eq!(
                (end.code, end.message.as_str()),
                (UNKNOWN, escaped),
                "the status must arrive although the client has not finished"
            );
        }
    });
}

#[test]
fn metadata_is_echoed_before_and_after_the_messages() {
    const INITIAL: (&str, &str) = ("x-grpc-test-echo-initial", "test_initial_metadata_value");
    const TRAILING: (&str, &str) = ("x-grpc-test-echo-trailing-bin", "CgsKCwoL");
    on_shards_and_pool(async |Fixture { mut client, .. }| {
        let answer = client.unary("UnaryCall", &[INITIAL, TRAILING], &SimpleRequest::default()).await;
        assert_eq!(answer.head[INITIAL.0], INITIAL.1);
        let (_, end) = answer.only::<SimpleResponse>().await;
        assert_eq!((end.code, &end.trailers[TRAILING.0]), (0, &TRAILING.1.parse().unwrap()));

        let mut calling = client.call("FullDuplexCall", &[INITIAL, TRAILING]).await;
        let mut answer = calling.answer().await;
        assert_eq!(answer.head[INITIAL.0], INITIAL.1, "the initial metadata must precede the messages");
        calling.send(&delayed_response(Duration::ZERO));
        assert!(answer.next::<StreamingOutputCallResponse>().await.is_some());
        calling.finish();
        let end = answer.end().await;
        assert_eq!((end.code, &end.trailers[TRAILING.0]), (0, &TRAILING.1.parse().unwrap()));
    });
}

#[test]
fn unknown_methods_are_unimplemented_and_other_requests_are_refused() {
    on_shards_and_pool(async |Fixture { mut client, .. }| {
        for path in ["/grpc.testing.TestService/UnimplementedCall", "/grpc.testing.UnimplementedService/Any"]
        {
            let mut calling = client.call_path(path, &[]).await;
            calling.send(&Empty {});
            calling.finish();
            let end = calling.answer().await.end().await;
            assert_eq!(end.code, Code::UNIMPLEMENTED.0, "{path}");
        }
        for (method, status) in [("EmptyCall", 415), ("FullDuplexCall", 415), ("Nothing", 404)] {
            let mut calling = client.call(method, &[("content-type", "application/json")]).await;
            calling.finish();
            assert_eq!(calling.answer().await.http_status, status, "{method}");
        }
    });
}

#[test]
fn a_call_ends_at_its_deadline() {
    on_shards_and_pool(async |Fixture { mut client, service, .. }| {
        const TIMEOUT: (&str, &str) = ("grpc-timeout", "50m");
        let began = Instant::now();
        let mut sleeping = client.call("FullDuplexCall", &[TIMEOUT]).await;
        sleeping.send(&delayed_response(Duration::from_secs(100)));
        let mut waiting = client.call("StreamingInputCall", &[TIMEOUT]).await;
        for calling in [&mut sleeping, &mut waiting] {
            let end = calling.answer().await.end().await;
            assert_eq!(end.code, Code::DEADLINE_EXCEEDED.0);
        }
        assert!(began.elapsed() >= Duration::from_millis(50));
        until_running(&service, 0).await;
        let in_time = client.unary("EmptyCall", &[("grpc-timeout", "99999999H")], &Empty {}).await;
        assert_eq!(in_time.only::<Empty>().await.1.code, 0);
        let end = client.unary("EmptyCall", &[("grpc-timeout", "soon")], &Empty {}).await.end().await;
        assert_eq!(end.code, Code::INTERNAL.0);
    });
}

#[test]
fn a_cancelled_call_is_dropped() {
    on_shards_and_pool(async |Fixture { mut client, service, .. }| {
        // The call waits for messages, and its response has not started.
        let calling = client.call("StreamingInputCall", &[]).await;
        until_running(&service, 1).await;
        calling.cancel();
        until_running(&service, 0).await;
        // The call has sent a message and waits for the next one.
        let mut calling = client.call("FullDuplexCall", &[]).await;
        calling.send(&StreamingOutputCallRequest {
            payload: Some(Payload::zeros(27_182)),
            ..delayed_response(Duration::ZERO)
        });
        let mut answer = calling.answer().await;
        assert!(answer.next::<StreamingOutputCallResponse>().await.is_some());
        assert_eq!(service.running(), 1);
        calling.cancel();
        until_running(&service, 0).await;
        // The call waits for a long timer.
        let mut calling = client.call("StreamingOutputCall", &[]).await;
        calling.send(&delayed_response(Duration::from_secs(100)));
        calling.finish();
        let answer = calling.answer().await;
        assert_eq!(service.running(), 1);
        drop((calling, answer));
        until_running(&service, 0).await;
        // A closed connection cancels all its calls.
        let _calls = (client.call("FullDuplexCall", &[]).await, client.call("StreamingInputCall", &[]).await);
        until_running(&service, 2).await;
        drop((client, _calls));
        until_running(&service, 0).await;
    });
}

#[test]
fn a_malformed_message_ends_its_call_and_no_other() {
    on_shards_and_pool(async |Fixture { mut client, .. }| {
        let mut other = client.call("StreamingInputCall", &[]).await;
        for (bytes, code) in [
            (&b"\x01\0\0\0\x01a"[..], Code::UNIMPLEMENTED),
            (b"\x02\0\0\0\0", Code::INTERNAL),
            (b"\0\xff\xff\xff\xff", Code::RESOURCE_EXHAUSTED),
            (b"\0\0\0\0\x02\x12\x7f", Code::INTERNAL),
            (b"\0\0\0\0\x02\x12", Code::INTERNAL),
        ] {
            for method in ["UnaryCall", "StreamingInputCall", "FullDuplexCall", "StreamingOutputCall"] {
                assert_eq!(
                    status_of(&mut client, method, bytes).await,
                    code.0,
                    "{method}, {}",
                    bytes.escape_ascii()
                );
            }
        }
        assert_eq!(status_of(&mut client, "EmptyCall", b"").await, Code::INTERNAL.0);
        assert_eq!(status_of(&mut client, "EmptyCall", &[0; 10]).await, Code::INTERNAL.0, "two messages");
        other.send(&StreamingInputCallRequest { payload: Some(Payload::zeros(7)) });
        other.finish();
        assert_eq!(other.answer().await.end_after_message().await.code, 0);
    });
}

/// Sends this body and returns the status code of the call.
async fn status_of(client: &mut Client, method: &str, body: &'static [u8]) -> u32 {
    let mut calling = client.call(method, &[]).await;
    calling.send_raw(body);
    calling.finish();
    calling.answer().await.end().await.code
}

#[test]
fn messages_up_to_the_limit_are_accepted() {
    on_shards_and_pool(async |Fixture { mut client, .. }| {
        // Ten bytes are the tags and lengths of the payload and of its content.
        let largest = StreamingInputCallRequest { payload: Some(Payload::zeros(MESSAGE_BYTES - 10)) };
        let mut calling = client.call("StreamingInputCall", &[]).await;
        calling.send(&largest);
        calling.finish();
        assert_eq!(calling.answer().await.end_after_message().await.code, 0);
        let request = SimpleRequest { response_size: i32::MAX, ..SimpleRequest::default() };
        let end = client.unary("UnaryCall", &[], &request).await.end().await;
        assert_eq!(end.code, Code::INVALID_ARGUMENT.0);
        // The server collects the message itself, before gRPC is involved.
        let request =
            SimpleRequest { payload: Some(Payload::zeros(MESSAGE_BYTES)), ..SimpleRequest::default() };
        assert_eq!(client.unary("UnaryCall", &[], &request).await.http_status, 413);
    });
}
