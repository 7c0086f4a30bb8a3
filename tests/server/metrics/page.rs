//! A strict parser of the Prometheus text format, version 0.0.4. Input that a scraper might tolerate fails
//! the test.

use std::collections::{BTreeMap, BTreeSet};

/// A sample of a metric.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    name: String,
    pub(crate) labels: BTreeMap<String, String>,
    value: f64,
}

/// A metric with its samples.
#[derive(Debug)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

/// A parsed metrics page.
#[derive(Debug)]
pub(crate) struct Page {
    families: BTreeMap<String, Family>,
}

impl Page {
    /// Parses a page. Each metric has one HELP line, then one TYPE line, then all its samples.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end");
        let mut page = Self { families: BTreeMap::new() };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line
                .strip_prefix("# HELP ")
                .unwrap_or_else(|| panic!("no HELP: {line}"))
                .split_once(' ')
                .unwrap();
            assert!(!help.is_empty() && is_name(name), "{line}");
            let kind = lines
                .next()
                .unwrap()
                .strip_prefix(&format!("# TYPE {name} "))
                .expect("a TYPE line must follow the HELP line");
            let mut samples = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                samples.push(sample(line));
            }
            let family = Family { kind: kind.to_owned(), samples };
            family.check(name);
            assert!(page.families.insert(name.to_owned(), family).is_none(), "{name} occurs twice");
        }
        page
    }

    /// Returns the names of all metrics.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.families.keys().map(String::as_str)
    }

    /// Returns all samples of a metric.
    pub(crate) fn samples(&self, name: &str) -> &[Sample] {
        self.families.get(name).map_or(&[], |family| &family.samples)
    }

    /// Returns the value of one sample. The labels must be in alphabetical order.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(labels.iter().copied())
        };
        self.families.values().flat_map(|family| &family.samples).find(wanted).map(|sample| sample.value)
    }

    /// Returns the sum of all samples of a counter or gauge.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.samples(name).iter().map(|sample| sample.value).sum()
    }

    /// Returns the sum of the samples with this label value.
    pub(crate) fn sum_where(&self, name: &str, (label, value): (&str, &str)) -> f64 {
        let has = |sample: &&Sample| sample.labels.get(label).is_some_and(|v| v == value);
        self.samples(name).iter().filter(has).map(|sample| sample.value).sum()
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(!self.samples.is_empty(), "{name} has no sample");
        let different: BTreeSet<_> =
            self.samples.iter().map(|s| format!("{} {:?}", s.name, s.labels)).collect();
        assert_eq!(different.len(), self.samples.len(), "{name} has a sample twice");
        match self.kind.as_str() {
            "counter" => {
                assert!(name.ends_with("_total"), "{name}");
                assert!(self.samples.iter().all(|s| s.name == name && s.value >= 0.0), "{name}");
            }
            "gauge" => assert!(self.samples.iter().all(|s| s.name == name), "{name}"),
            "histogram" => self.check_histogram(name),
            other => panic!("{name} is a {other}"),
        }
    }

    /// Checks that the buckets are cumulative, their bounds ascend, and the last one is +Inf and equals the
    /// count.
    fn check_histogram(&self, name: &str) {
        let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            by_labels.entry(labels).or_default().push(sample);
        }
        for (labels, samples) in by_labels {
            let of = |suffix: &str| {
                samples.iter().filter(|s| s.name == format!("{name}{suffix}")).collect::<Vec<_>>()
            };
            let (buckets, sums, counts) = (of("_bucket"), of("_sum"), of("_count"));
            assert_eq!(
                (sums.len(), counts.len(), buckets.len() + 2),
                (1, 1, samples.len()),
                "{name} {labels:?}"
            );
            let bounds: Vec<f64> = buckets.iter().map(|b| number(&b.labels["le"])).collect();
            assert!(bounds.is_sorted_by(|a, b| a < b), "{name} {bounds:?}");
            assert_eq!(bounds.last(), Some(&f64::INFINITY), "{name}");
            assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{name} {labels:?}: not cumulative");
            assert_eq!(buckets.last().unwrap().value, counts[0].value, "{name} {labels:?}");
            assert!(sums[0].value >= 0.0);
        }
    }
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => {
            (name, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("no }}: {line}"))))
        }
        None => (head, BTreeMap::new()),
    };
    assert!(is_name(name), "{line}");
    Sample { name: name.to_owned(), labels, value: number(value) }
}

fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no label: {text}"));
        assert!(is_name(name), "{text}");
        let (value, rest) = quoted(rest);
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} occurs twice");
        text = rest.strip_prefix(',').unwrap_or(rest);
        assert!(rest.is_empty() || rest.starts_with(','), "{rest}");
    }
    labels
}

/// Parses up to the closing quote. Returns the value and the rest of the text.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => '\n',
                Some(escaped @ ('"' | '\\')) => escaped,
                other => panic!("bad escape {other:?} in {text}"),
            }),
            _ => value.push(char),
        }
    }
    panic!("no closing quote: {text}")
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("no number: {text}")),
    }
}

fn is_name(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !text.is_empty() && text.chars().all(ok) && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn a_malformed_page_is_rejected() {
    let refused = |text: &str| {
        let text = text.to_owned();
        std::panic::catch_unwind(move || Page::parse(&text)).is_err()
    };
    assert!(!refused("# HELP a_total x\n# TYPE a_total counter\na_total{l=\"v\\\"\"} 1\n"));
    assert!(refused("a_total 1\n"));
    assert!(refused("# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total 1\n"));
    assert!(refused(
        "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
    ));
    assert!(refused("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n"));
}
