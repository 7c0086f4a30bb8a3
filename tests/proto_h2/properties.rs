//! Properties of any input: it may be cut anywhere, windows never overflow, memory is bounded.

use proptest::prelude::*;
use windlass::proto::h2::{
    Limits,
    window::{ReceiveWindow, SendWindow, WINDOW_BYTES_MAX},
};

use crate::common::{
    Seen, Server,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS,
        WITH_PRIORITY, block, frame, preface, read_frames, request, settings,
    },
};

/// A frame, mostly of the kind that makes sense, on one of few streams.
pub(crate) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = || prop_oneof![8 => (0..12_u32).prop_map(|n| 2 * n + 1), 1 => 0..25_u32];
    let path =
        prop::sample::select(vec!["/", "/echo", "/hold", "/ignore", "/early", "/bytes/20000", "/bytes/7"]);
    let head =
        (stream(), path, any::<bool>(), any::<bool>(), prop::option::of("[a-z]{1,4}: ?[a-z]{0,9}"), 0..4_u8);
    prop_oneof![
        8 => head.prop_map(|(stream, path, is_post, ends, other, form)| {
            let mut fields = request(if is_post { "POST" } else { "GET" }, path);
            if let Some((name, value)) = other.as_deref().and_then(|other| other.split_once(':')) {
                fields.push((name, value));
            }
            let (block, end) = (block(&fields), u8::from(ends) * END_STREAM);
            match form {
                0 => [
                    frame(HEADERS, end, stream, &block[..5]),
                    frame(CONTINUATION, END_HEADERS, stream, &block[5..]),
                ].concat(),
                1 => frame(HEADERS, end | END_HEADERS | PADDED, stream, [&[4][..], &block, &[0; 4]].concat()),
                2 => {
                    let block = [&[0, 0, 0, 200, 7][..], &block].concat();
                    frame(HEADERS, end | END_HEADERS | WITH_PRIORITY, stream, block)
                }
                _ => frame(HEADERS, end | END_HEADERS, stream, &block),
            }
        }),
        6 => (stream(), prop_oneof![0..10_usize, 0..3000_usize], any::<bool>())
            .prop_map(|(stream, len, ends)| {
            frame(DATA, u8::from(ends) * END_STREAM, stream, vec![b'd'; len])
        }),
        2 => (stream(), 1..100_usize, any::<bool>(), 0..110_u8).prop_map(|(stream, len, ends, padding)| {
            let mut payload = vec![0; len];
            payload[0] = padding;
            frame(DATA, PADDED | (u8::from(ends) * END_STREAM), stream, payload)
        }),
        3 => (stream(), prop_oneof![4 => 0..70_000_u32, 1 => any::<u32>()]).prop_map(|(stream, increment)| {
            frame(8, 0, stream, increment.to_be_bytes())
        }),
        2 => (stream(), 0..15_u32)
            .prop_map(|(stream, code)| frame(RST_STREAM, 0, stream, code.to_be_bytes())),
        1 => prop::collection::vec((0..10_u16, prop_oneof![0..100_000_u32, any::<u32>()]), 0..3)
            .prop_map(|pairs| frame(SETTINGS, 0, 0, settings(&pairs))),
        1 => any::<[u8; 8]>().prop_map(|payload| frame(PING, 0, 0, payload)),
        1 => (stream(), any::<[u8; 5]>()).prop_map(|(stream, payload)| frame(PRIORITY, 0, stream, payload)),
        1 => (0..20_u8, any::<u8>(), stream(), prop::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, payload)),
    ]
}

/// Frames behind a preface; identifiers of requests rise in most of them.
fn any_script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any_frame(), 0..60).prop_map(|frames| [preface(&[]), frames.concat()].concat())
}

fn limits() -> Limits {
    Limits { streams: 6, stream_window_bytes: 40_000, connection_window_bytes: 100_000, ..Limits::default() }
}

fn run(pieces: &[&[u8]]) -> (Vec<Seen>, Vec<u8>) {
    let mut server = Server::with(limits());
    server.pumps = false;
    for piece in pieces {
        server.feed(piece);
        let held = server.connection.held_bytes();
        assert!(held < 64 * 1024, "{held} bytes are held");
    }
    server.pumps = true;
    server.feed(&[]);
    (server.seen, server.sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_may_be_cut_anywhere(
        script in any_script(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole = run(&[&script]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(script.len() + 1)).collect();
        at.extend([0, script.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &script[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&run(&pieces), &whole);
        let bytes: Vec<&[u8]> = script.chunks(1).collect();
        prop_assert_eq!(&run(&bytes), &whole);
    }

    #[test]
    fn what_is_sent_is_frames_within_the_peers_windows(script in any_script()) {
        let (seen, sent) = run(&[&script]);
        let frames = read_frames(&sent);
        prop_assert!(frames.iter().all(|frame| frame.payload.len() <= 16_384));
        // Streams end once.
        let mut ended = std::collections::BTreeSet::new();
        for frame in &frames {
            if matches!(frame.kind, DATA | HEADERS) {
                prop_assert!(!ended.contains(&frame.stream), "{} is over", frame.stream);
                if frame.has(END_STREAM) {
                    ended.insert(frame.stream);
                }
            }
        }
        let over = seen.iter().position(|seen| matches!(seen, Seen::Over(_)));
        prop_assert!(over.is_none_or(|at| at + 1 == seen.len()), "nothing comes behind the end");
    }

    #[test]
    fn a_send_window_never_overflows(steps in prop::collection::vec((0..3_u8, any::<u32>()), 0..50)) {
        let mut window = SendWindow::new(65_535);
        let (mut exact, mut initial) = (65_535_i64, 65_535_i64);
        for (kind, number) in steps {
            let shift = match kind {
                0 => i64::from(number & 0x7fff_ffff),
                1 => {
                    let bytes = (number as usize).min(window.room());
                    window.take(bytes);
                    exact -= bytes as i64;
                    continue;
                }
                _ => {
                    let next = i64::from(number & 0x7fff_ffff);
                    next - std::mem::replace(&mut initial, next)
                }
            };
            let fits = exact + shift <= i64::from(WINDOW_BYTES_MAX);
            prop_assert_eq!(window.shift(shift).is_ok(), fits);
            if !fits {
                return Ok(());
            }
            exact += shift;
            prop_assert_eq!(window.room() as i64, exact.max(0));
        }
    }

    #[test]
    fn a_receive_window_gives_back_all_that_was_used_and_no_more(
        size in 1..200_000_u32,
        steps in prop::collection::vec((any::<bool>(), 0..70_000_u32), 0..100),
    ) {
        let mut window = ReceiveWindow::new(size);
        // As the peer counts it.
        let (mut credit, mut held) = (size, 0);
        for (takes, bytes) in steps {
            if takes {
                let fits = bytes <= credit;
                prop_assert_eq!(window.take(bytes).is_ok(), fits);
                if fits {
                    credit -= bytes;
                    held += bytes;
                }
            } else {
                let released = bytes.min(held);
                held -= released;
                credit += window.release(bytes).unwrap_or(0);
            }
            prop_assert_eq!((window.left(), window.held()), (credit, held));
            prop_assert!(credit + held <= size, "never more than the window");
            let has_credit = 2 * u64::from(credit) >= u64::from(size);
            prop_assert!(held > 0 || has_credit, "a peer whose bytes are used must get credit: {credit}");
        }
    }

    #[test]
    fn a_receive_window_grows_only_while_nothing_is_held_and_within_its_limit(
        size in 1..=WINDOW_BYTES_MAX,
        steps in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u32>()), 0..50),
    ) {
        let mut window = ReceiveWindow::new(size);
        for (takes, bytes, limit) in steps {
            if takes {
                let _ = window.take(bytes);
            } else {
                let _ = window.release(bytes);
            }
            let (before, left, held) = (window.size(), window.left(), window.held());
            let growth = window.grow(limit);
            prop_assert!(growth <= limit && (held == 0 || growth == 0));
            prop_assert!(window.size() <= WINDOW_BYTES_MAX, "a window never overflows");
            prop_assert_eq!((window.size(), window.left()), (before + growth, left + growth));
        }
    }
}
