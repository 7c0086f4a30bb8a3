//! Conditional requests and ranges: every combination of the fields of RFC 9110 §13 and §14.

use windlass::{Router, files::Settings, static_dir_with};

use super::{Dir, MODIFIED_DATE, send};
use crate::common::{Peer, connect, start};

const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const LATER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

/// Length of the file in the combinations.
const LEN: usize = 100;

/// Requests that are sent before the first reply is read.
const PIPELINED: usize = 16;

/// Value of a field with an entity tag.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tag {
    Absent,
    Current,
    /// The current tag, marked as weak.
    Weak,
    /// A list of other tags.
    Other,
    Any,
}

/// Value of a field with a date, relative to the file's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Date {
    Absent,
    Earlier,
    Equal,
    Later,
    Invalid,
}

/// Value of `If-Range`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum IfRange {
    Absent,
    Tag(Tag),
    Date(Date),
}

const TAGS: [Tag; 5] = [Tag::Absent, Tag::Current, Tag::Weak, Tag::Other, Tag::Any];
const DATES: [Date; 5] = [Date::Absent, Date::Earlier, Date::Equal, Date::Later, Date::Invalid];
const RANGES: [Option<&str>; 5] =
    [None, Some("bytes=10-19"), Some("bytes=0-0,90-"), Some("bytes=100-"), Some("bytes=2-1")];
const IF_RANGES: [IfRange; 7] = [
    IfRange::Absent,
    IfRange::Tag(Tag::Current),
    IfRange::Tag(Tag::Weak),
    IfRange::Tag(Tag::Other),
    IfRange::Date(Date::Equal),
    IfRange::Date(Date::Later),
    IfRange::Date(Date::Invalid),
];

impl Tag {
    fn value(self, current: &str) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Current => Some(format!("\"x\", {current}")),
            Self::Weak => Some(format!("W/{current}")),
            Self::Other => Some("\"x\", W/\"y\"".to_owned()),
            Self::Any => Some("*".to_owned()),
        }
    }
}

impl Date {
    fn value(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Earlier => Some(EARLIER),
            Self::Equal => Some(MODIFIED_DATE),
            Self::Later => Some(LATER),
            Self::Invalid => Some("yesterday"),
        }
    }
}

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Case {
    method: &'static str,
    if_match: Tag,
    if_none_match: Tag,
    if_modified_since: Date,
    if_unmodified_since: Date,
    range: Option<&'static str>,
    if_range: IfRange,
}

impl Case {
    fn request(&self, current: &str) -> String {
        let if_range = match self.if_range {
            IfRange::Absent => None,
            IfRange::Tag(Tag::Current) => Some(current.to_owned()),
            IfRange::Tag(tag) => tag.value(current),
            IfRange::Date(date) => date.value().map(str::to_owned),
        };
        let fields = [
            ("If-Match", self.if_match.value(current)),
            ("If-None-Match", self.if_none_match.value(current)),
            ("If-Modified-Since", self.if_modified_since.value().map(str::to_owned)),
            ("If-Unmodified-Since", self.if_unmodified_since.value().map(str::to_owned)),
            ("Range", self.range.map(str::to_owned)),
            ("If-Range", if_range),
        ];
        let fields: String =
            fields.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\r\n", value?))).collect();
        format!("{} /file HTTP/1.1\r\nHost: t\r\n{fields}\r\n", self.method)
    }

    /// Returns the status by RFC 9110 §13.2.2, step by step.
    fn status(&self) -> u16 {
        match self.if_match {
            Tag::Weak | Tag::Other => return 412,
            Tag::Absent if self.if_unmodified_since == Date::Earlier => return 412,
            _ => {}
        }
        match self.if_none_match {
            Tag::Current | Tag::Weak | Tag::Any => return 304,
            Tag::Absent if matches!(self.if_modified_since, Date::Equal | Date::Later) => return 304,
            _ => {}
        }
        let holds = matches!(
            self.if_range,
            IfRange::Absent | IfRange::Tag(Tag::Current) | IfRange::Date(Date::Equal)
        );
        match self.range {
            Some("bytes=10-19" | "bytes=0-0,90-") if holds && self.method == "GET" => 206,
            Some("bytes=100-") if holds && self.method == "GET" => 416,
            _ => 200,
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for if_match in TAGS {
        for if_none_match in TAGS {
            for if_modified_since in DATES {
                for if_unmodified_since in DATES {
                    for range in RANGES {
                        for if_range in IF_RANGES {
                            // Without a range only the first value of If-Range is of interest.
                            if range.is_none()
                                && !matches!(if_range, IfRange::Absent | IfRange::Tag(Tag::Other))
                            {
                                continue;
                            }
                            let method = if cases.len() % 5 == 0 { "HEAD" } else { "GET" };
                            cases.push(Case {
                                method,
                                if_match,
                                if_none_match,
                                if_modified_since,
                                if_unmodified_since,
                                range,
                                if_range,
                            });
                        }
                    }
                }
            }
        }
    }
    cases
}

/// A server of a file, connected, with the entity tag of the file.
fn served(content: &str) -> (windlass::Server, Peer, String, Dir) {
    let dir = Dir::with(&[("file", content)]);
    let settings = Settings::new().cache_file_bytes(64).check_interval(std::time::Duration::from_secs(1000));
    let server = start(Router::new().route(static_dir_with("/", &dir.0, settings)));
    let mut peer = connect(&server);
    let tag = peer.get("/file").header("etag").unwrap().to_owned();
    (server, peer, tag, dir)
}

#[test]
fn every_combination_of_conditions_and_ranges_has_the_status_of_the_standard() {
    let content: String = (0..LEN).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let (_server, mut peer, tag, _dir) = served(&content);
    for cases in cases().chunks(PIPELINED) {
        peer.send(cases.iter().map(|case| case.request(&tag)).collect::<String>());
        for case in cases {
            let reply = peer.reply_to(case.method);
            assert_eq!(reply.status, case.status(), "{case:?}");
            match (reply.status, case.range) {
                (200, _) if case.method == "GET" => assert_eq!(reply.text(), content),
                (200, _) => assert_eq!(reply.header("content-length"), Some("100")),
                (206, Some("bytes=10-19")) => {
                    assert_eq!(reply.text(), content[10..20]);
                    assert_eq!(reply.header("content-range"), Some("bytes 10-19/100"));
                }
                (416, _) => assert_eq!(reply.header("content-range"), Some("bytes */100")),
                _ => {}
            }
            if matches!(reply.status, 200 | 206 | 304) {
                assert_eq!(reply.header("etag"), Some(tag.as_str()), "{case:?}");
            }
        }
    }
}

#[test]
fn several_ranges_are_sent_as_parts() {
    let contents = ["0123456789".repeat(3), "0123456789".repeat(30_000)];
    for content in contents {
        let (_server, mut peer, _, _dir) = served(&content);
        let len = content.len();
        let reply = send(&mut peer, "GET", "/file", &[("Range", "bytes=-5, 0-0,7-9")]);
        let (status, content_type) = (reply.status, reply.header("content-type").unwrap().to_owned());
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        assert_eq!((status, reply.header("content-range")), (206, None));
        let part = |from: usize, to: usize| {
            let bytes = &content[from..=to];
            let head = "content-type: application/octet-stream\r\ncontent-range: bytes";
            format!("--{boundary}\r\n{head} {from}-{to}/{len}\r\n\r\n{bytes}\r\n")
        };
        let parts = [part(len - 5, len - 1), part(0, 0), part(7, 9)].concat();
        assert_eq!(reply.text(), format!("{parts}--{boundary}--\r\n"));
        assert_eq!(peer.get("/file").text(), content, "the connection goes on");
        let one = send(&mut peer, "GET", "/file", &[("Range", "bytes=1-2,900000-")]);
        assert_eq!((one.text().as_str(), one.header("content-range").is_some()), ("12", true));
    }
}

#[test]
fn long_ranges_of_large_files_are_exact() {
    let content: String = (0..100_000u32).map(|n| format!("{n:07},")).collect();
    let (_server, mut peer, _, _dir) = served(&content);
    let len = content.len();
    for (from, to) in [(0, len - 1), (1, len - 1), (65_535, 65_536), (65_536, 200_000), (len - 1, len - 1)] {
        let reply = send(&mut peer, "GET", "/file", &[("Range", &format!("bytes={from}-{to}"))]);
        assert_eq!((reply.status, reply.body.len()), (206, to - from + 1));
        assert_eq!(reply.text(), content[from..=to], "{from}-{to}");
    }
}

#[test]
fn all_forms_of_dates_are_read() {
    let (_server, mut peer, _, _dir) = served("text");
    for date in [MODIFIED_DATE, "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023"] {
        assert_eq!(send(&mut peer, "GET", "/file", &[("If-Modified-Since", date)]).status, 304, "{date}");
        let fields = [("If-Range", date), ("Range", "bytes=0-0")];
        assert_eq!(send(&mut peer, "GET", "/file", &fields).status, 206, "{date}");
    }
}

#[test]
fn lists_may_be_spread_over_lines() {
    let (_server, mut peer, tag, _dir) = served("text");
    let tag = tag.as_str();
    let lines = [("If-None-Match", "\"a\""), ("If-None-Match", tag)];
    assert_eq!(send(&mut peer, "GET", "/file", &lines).status, 304);
    let lines = [("If-Match", "\"a\""), ("If-Match", tag)];
    assert_eq!(send(&mut peer, "GET", "/file", &lines).status, 200);
    let lines = [("Range", "bytes=0-0"), ("Range", "bytes=1-1")];
    assert_eq!(send(&mut peer, "GET", "/file", &lines).status, 200, "Range is no list");
}

#[test]
fn ranges_of_an_empty_file() {
    let (_server, mut peer, _, _dir) = served("");
    assert_eq!(send(&mut peer, "GET", "/file", &[("Range", "bytes=0-")]).status, 416);
    assert_eq!(send(&mut peer, "GET", "/file", &[("Range", "bytes=-1")]).status, 200);
}
