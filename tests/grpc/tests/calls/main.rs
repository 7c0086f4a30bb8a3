//! The calls of gRPC's interoperability tests, each with its methods on the shards and on the pool.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod client;
mod ends;

use windlass_grpc::messages::{
    Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

use client::{Fixture, on_shards_and_pool, over_tls, until_running};

const SIZES_UP: [usize; 4] = [27_182, 8, 1_828, 45_904];
const SIZES_DOWN: [i32; 4] = [31_415, 9, 2_653, 58_979];

fn request_for(sizes: &[i32]) -> StreamingOutputCallRequest {
    let response_parameters =
        sizes.iter().map(|size| ResponseParameters { size: *size, interval_us: 0 }).collect();
    StreamingOutputCallRequest { response_parameters, ..StreamingOutputCallRequest::default() }
}

fn length(response: Option<StreamingOutputCallResponse>) -> Option<usize> {
    response.map(|response| response.payload.unwrap().body.len())
}

async fn unary_calls(Fixture { mut client, .. }: Fixture) {
    let (_, end) = client.unary("EmptyCall", &[], &Empty {}).await.only::<Empty>().await;
    assert_eq!((end.code, end.message.as_str()), (0, ""));
    let request = SimpleRequest {
        response_size: 314_159,
        payload: Some(Payload::zeros(271_828)),
        ..SimpleRequest::default()
    };
    let (response, end) = client.unary("UnaryCall", &[], &request).await.only::<SimpleResponse>().await;
    assert_eq!((response, end.code), (SimpleResponse { payload: Some(Payload::zeros(314_159)) }, 0));
}

#[test]
fn unary_calls_transfer_large_messages() {
    on_shards_and_pool(unary_calls);
}

#[test]
fn unary_calls_work_over_tls() {
    over_tls(unary_calls);
}

async fn streams(Fixture { mut client, service, .. }: Fixture) {
    let mut calling = client.call("StreamingInputCall", &[]).await;
    for size in SIZES_UP {
        calling.send(&StreamingInputCallRequest { payload: Some(Payload::zeros(size)) });
    }
    calling.finish();
    let (sum, end) = calling.answer().await.only::<StreamingInputCallResponse>().await;
    assert_eq!((sum.aggregated_payload_size, end.code), (74_922, 0));

    let mut answer = client.unary("StreamingOutputCall", &[], &request_for(&SIZES_DOWN)).await;
    for size in SIZES_DOWN {
        assert_eq!(length(answer.next().await), Some(size as usize));
    }
    assert_eq!(answer.end().await.code, 0);

    let mut calling = client.call("FullDuplexCall", &[]).await;
    let mut answer = calling.answer().await;
    for (up, down) in SIZES_UP.into_iter().zip(SIZES_DOWN) {
        calling
            .send(&StreamingOutputCallRequest { payload: Some(Payload::zeros(up)), ..request_for(&[down]) });
        assert_eq!(length(answer.next().await), Some(down as usize));
    }
    calling.finish();
    assert_eq!(answer.end().await.code, 0);

    let mut calling = client.call("FullDuplexCall", &[]).await;
    calling.finish();
    assert_eq!(calling.answer().await.end().await.code, 0, "a call without messages must succeed");
    until_running(&service, 0).await;
}

#[test]
fn streams_work_in_each_direction_and_in_both() {
    on_shards_and_pool(streams);
}

#[test]
fn streams_work_over_tls() {
    over_tls(streams);
}
